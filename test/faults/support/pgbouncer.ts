import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { freePort } from '../../support/free-port.ts'

const PROGRAMS = ['/usr/sbin/pgbouncer', '/usr/bin/pgbouncer', '/opt/homebrew/bin/pgbouncer']

export const pgbouncer = PROGRAMS.find((file) => existsSync(file))
export const PGBOUNCER_MISSING = `skipped: there is no PgBouncer at ${PROGRAMS.join(', ')}`

/** Runs `use` with the URL of a PgBouncer before a PostgreSQL; `settings` are lines of its file. */
export async function withPgbouncer(
  target: string,
  settings: Record<string, string | number>,
  use: (url: string) => Promise<void>,
): Promise<void> {
  const { url, close } = await startPgbouncer(target, settings)
  try {
    await use(url)
  } finally {
    await close()
  }
}

async function startPgbouncer(
  target: string,
  settings: Record<string, string | number>,
): Promise<{ url: string; close(): Promise<void> }> {
  const { hostname, port, username, password } = new URL(target)
  const directory = mkdtempSync(join(tmpdir(), 'dramatis-pgbouncer-'))
  chmodSync(directory, 0o755)
  const listenPort = await freePort()
  const config = {
    listen_addr: '127.0.0.1',
    listen_port: listenPort,
    unix_socket_dir: '',
    auth_type: 'plain',
    auth_file: join(directory, 'users'),
    ...settings,
  }
  const lines = Object.entries(config).map(([name, value]) => `${name} = ${value}`)
  writeFileSync(
    join(directory, 'pgbouncer.ini'),
    `[databases]\n* = host=${hostname} port=${port}\n[pgbouncer]\n${lines.join('\n')}\n`,
  )
  writeFileSync(join(directory, 'users'), `"${username}" "${password}"\n`)
  // It refuses to run as root, as PostgreSQL does.
  const asUser = process.getuid?.() === 0 ? ['-u', 'nobody'] : []
  const child: ChildProcess = spawn(pgbouncer as string, [...asUser, join(directory, 'pgbouncer.ini')], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const ended = once(child, 'close')
  let output = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  while (!output.includes('process up')) {
    if (child.exitCode !== null) throw new Error(`PgBouncer has ended: ${output}`)
    await wait(10)
  }
  const url = new URL(target)
  url.port = String(listenPort)
  return {
    url: url.href,
    async close() {
      child.kill('SIGKILL')
      await ended
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

if (!pgbouncer) console.warn(`tests with PgBouncer are ${PGBOUNCER_MISSING}`)
