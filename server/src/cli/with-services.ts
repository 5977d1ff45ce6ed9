import { existsSync } from 'node:fs'
import type { Config } from '../config/config.ts'
import { isUuid } from '../lib/ids.ts'
import { printableLine } from '../lib/text/printable.ts'
import type { Services } from '../services.ts'
import { Failure, type Io } from './command.ts'
import { readSettings } from './settings.ts'

export type WithServicesOptions = {
  /** Makes the SQLite file when there is none. Else that is a failure: the folder is probably the wrong one. */
  mayCreate?: boolean
}

/** Opens the configured database beside whatever server is running on it, and closes it after `work`. */
export async function withServices<T>(
  io: Io,
  work: (services: Services, config: Config) => Promise<T>,
  { mayCreate = false }: WithServicesOptions = {},
): Promise<T> {
  const config = readSettings(io)
  const { database: location } = config
  if (location.kind === 'sqlite' && !mayCreate && !existsSync(location.file)) {
    throw new Failure(
      `there is no database at ${location.file}: "dramatis start" makes one; DRAMATIS_DATA_DIR and DRAMATIS_DATABASE_URL say where it is`,
    )
  }
  const [{ createServices }, { openDatabase }] = await Promise.all([
    import('../services.ts'),
    import('../storage/open-database.ts'),
  ])
  const database = await openDatabase(location, {
    asServer: false,
    log: (line) => io.stderr.write(`${printableLine(line)}\n`),
  })
  try {
    return await work(createServices(database), config)
  } finally {
    await database.close()
  }
}

/** The organization with this id; without one, the oldest. Throws {@link Failure} when there is none. */
export async function findOrganization({ organizations }: Services, id: string | undefined) {
  if (id === undefined) {
    const first = await organizations.first()
    if (!first)
      throw new Failure('there is no organization yet: "dramatis start" or "dramatis organizations create" makes one')
    return first
  }
  const wanted = isUuid(id) ? id.toLowerCase() : null
  const found = (await organizations.list()).find((organization) => organization.id === wanted)
  if (!found) throw new Failure(`there is no organization "${id}": "dramatis organizations list" shows them`)
  return found
}

/** The description of `--organization` in the help of several commands. */
export const ORGANIZATION_HELP = '  --organization ID   Of this organization; the oldest one by default.'
