import { randomBytes } from 'node:crypto'
import { AppError } from '../../errors.ts'
import type { Clock } from '../../lib/clock.ts'
import type { IdSource } from '../../lib/ids.ts'
import type { Database, Statement } from '../../storage/database.ts'
import {
  insertOrganization,
  selectFirstOrganization,
  selectOrganization,
  selectOrganizations,
} from './organization-queries.ts'

export type Organization = { id: string; name: string }
export type OrganizationService = ReturnType<typeof createOrganizationService>

const FIRST_ORGANIZATION_ID = '00000000-0000-7000-8000-000000000001'

/** Organizations own everything else; nothing of one is visible to another. */
export function createOrganizationService(deps: { database: Database; ids: IdSource; clock: Clock }) {
  const { database, ids, clock } = deps
  const secrets = new Map<string, string>()

  function prepareWithId(id: string, name: string): { id: string; statement: Statement } {
    const tokenSecret = randomBytes(32).toString('base64url')
    return { id, statement: insertOrganization(database, { id, name, tokenSecret, createdAt: clock() }) }
  }

  return {
    /** The statement that makes an organization, for a batch, and the id it will have. */
    prepare: (name: string) => prepareWithId(ids.next(), name),

    /** The same for the very first one: its id is fixed, so of several that start at once only one makes it. */
    prepareFirst: (name: string) => prepareWithId(FIRST_ORGANIZATION_ID, name),

    /** The oldest one, which a server with a single organization works for; null on an empty database. */
    async first(): Promise<Organization | null> {
      return (await selectFirstOrganization(database, {}))[0] ?? null
    },

    list: (): Promise<Organization[]> => selectOrganizations(database, {}),

    /** What signs the organization's continuation tokens; it never changes. */
    async tokenSecret(id: string): Promise<string> {
      const known = secrets.get(id)
      if (known) return known
      const row = (await selectOrganization(database, { id }))[0]
      if (!row) throw new AppError('not_found', 'there is no such organization')
      secrets.set(id, row.token_secret)
      return row.token_secret
    },
  }
}
