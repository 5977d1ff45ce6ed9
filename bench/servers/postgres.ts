import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import pg from 'pg'

const PROGRAM = join(import.meta.dirname, '../postgres.ts')

/** A PostgreSQL of our own with its own defaults. */
export type Postgres = { url: string; pid: number; version: string; stop(): Promise<void> }

/** Throws where PostgreSQL cannot be started. */
export async function startPostgres(): Promise<Postgres> {
  const child = fork(PROGRAM, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  const ended = once(child, 'exit')
  const [message] = (await Promise.race([
    once(child, 'message'),
    ended.then(([code]) => [{ error: `PostgreSQL could not be started (${code})` }]),
  ])) as [{ url: string; pid: number; error?: string }]
  if (message.error !== undefined) throw new Error(message.error)
  const { url, pid } = message
  return {
    url,
    pid,
    version: await versionOfServer(url),
    async stop() {
      child.disconnect()
      await ended
    },
  }
}

/** A database of its own. */
export async function createDatabase(server: string): Promise<{ url: string; drop(): Promise<void> }> {
  const name = `bench_${process.pid}_${Date.now()}`
  await query(server, `create database ${name}`)
  const url = new URL(server)
  url.pathname = `/${name}`
  return { url: url.href, drop: () => query(server, `drop database ${name} with (force)`).then(() => {}) }
}

async function versionOfServer(url: string): Promise<string> {
  const { rows } = await query(url, 'show server_version')
  return String(rows[0]?.['server_version'])
}

async function query(url: string, text: string): Promise<{ rows: Record<string, unknown>[] }> {
  const client = new pg.Client(url)
  await client.connect()
  try {
    return await client.query(text)
  } finally {
    await client.end()
  }
}
