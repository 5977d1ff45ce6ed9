import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import pg from 'pg'
import type { TestDatabase } from './databases.ts'

/** A table and its columns, as the database knows them. */
export type Table = { name: string; columns: string[] }

/** Reads a database past the server: as somebody would who has got hold of it. */
export async function inspect<T>(place: TestDatabase, look: (query: Query) => Promise<T>): Promise<T> {
  if (place.location.kind === 'sqlite') {
    const connection = new DatabaseSync(place.location.file, { readOnly: true, timeout: 5_000 })
    try {
      return await look(async (text) => connection.prepare(text).all() as Record<string, unknown>[])
    } finally {
      connection.close()
    }
  }
  const client = new pg.Client({ connectionString: place.location.url })
  await client.connect()
  try {
    return await look(async (text) => (await client.query(text)).rows)
  } finally {
    await client.end()
  }
}
type Query = (text: string) => Promise<Record<string, unknown>[]>

export async function tablesOf(place: TestDatabase): Promise<Table[]> {
  const rows = await inspect(place, (query) =>
    query(
      place.location.kind === 'sqlite'
        ? `select m.name as "table", c.name as "column" from sqlite_schema m, pragma_table_info(m.name) c where m.type = 'table'`
        : `select table_name as "table", column_name as "column" from information_schema.columns where table_schema = 'public'`,
    ),
  )
  const names = [...new Set(rows.map(({ table }) => table as string))]
  return names.map((name) => ({
    name,
    columns: rows.filter(({ table }) => table === name).map(({ column }) => column as string),
  }))
}

/** The tables in which `canary` stands in some row. */
export async function tablesWith(place: TestDatabase, canary: string): Promise<string[]> {
  const tables = await tablesOf(place)
  return inspect(place, async (query) => {
    const found: string[] = []
    for (const { name } of tables) {
      if (JSON.stringify(await query(`select * from ${name}`)).includes(canary)) found.push(name)
    }
    return found
  })
}

/**
 * The files of the database, and of the folder beside it, in which `canary` stands; null where they cannot be read. On
 * PostgreSQL all files of this database after a checkpoint: tables, indexes, statistics.
 */
export async function filesWith(place: TestDatabase, canary: string): Promise<string[] | null> {
  const folders = [place.location.kind === 'sqlite' ? dirname(place.location.file) : place.directory]
  if (place.location.kind === 'postgres') {
    const [row] = await inspect(place, async (query) => {
      await query('checkpoint')
      return query(
        `select current_setting('data_directory') || '/base/' || oid as folder from pg_database where datname = current_database()`,
      )
    })
    const folder = String(row?.['folder'])
    if (!existsSync(folder)) return null
    folders.push(folder)
  }
  return folders.flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .map((name) => join(folder, name))
      .filter((file) => statSync(file, { throwIfNoEntry: false })?.isFile() && readFileSync(file).includes(canary)),
  )
}
