import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { describe, inject } from 'vitest'
import type { DatabaseLocation } from '../../server/src/storage/open-database.ts'

export type TestDatabase = {
  location: DatabaseLocation
  /** What DRAMATIS_DATABASE_URL says, for a server in a process of its own. */
  url: string
  /** A folder that goes away with the database. */
  directory: string
  remove(): Promise<void>
}

export type DatabaseKind = { name: 'sqlite' | 'postgres'; create(): Promise<TestDatabase> }

const postgresUrl = inject('postgresUrl')

export const databaseKinds: DatabaseKind[] = [
  { name: 'sqlite', create: createSqlite },
  ...(postgresUrl ? [{ name: 'postgres' as const, create: createPostgres }] : []),
]

/** Runs the tests that `define` makes once on SQLite and once on PostgreSQL, each on a database of its own. */
export function onEveryDatabase(title: string, define: (kind: DatabaseKind) => void): void {
  for (const kind of databaseKinds) describe(`${title} on ${kind.name}`, () => define(kind))
  if (!postgresUrl)
    describe.skip(`${title} on postgres (skipped: ${inject('postgresMissing').split('\n')[0]})`, () => {})
}

async function createSqlite(): Promise<TestDatabase> {
  const directory = mkdtempSync(join(tmpdir(), 'dramatis-test-'))
  const file = join(directory, 'dramatis.db')
  return {
    location: { kind: 'sqlite', file },
    url: `file:${file}`,
    directory,
    remove: async () => rmSync(directory, { recursive: true, force: true }),
  }
}

async function createPostgres(): Promise<TestDatabase> {
  const name = `test_${process.pid}_${Math.random().toString(36).slice(2, 10)}`
  await onServer(`create database ${name}`)
  const directory = mkdtempSync(join(tmpdir(), 'dramatis-test-'))
  const url = new URL(postgresUrl)
  url.pathname = `/${name}`
  return {
    location: { kind: 'postgres', url: url.href },
    url: url.href,
    directory,
    remove: async () => {
      rmSync(directory, { recursive: true, force: true })
      await onServer(`drop database ${name} with (force)`)
    },
  }
}

async function onServer(statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: postgresUrl })
  await client.connect()
  try {
    await client.query(statement)
  } finally {
    await client.end()
  }
}
