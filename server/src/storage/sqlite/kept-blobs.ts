import { createHash } from 'node:crypto'
import { DatabaseSync } from 'node:sqlite'
import { explainSqliteError } from './errors.ts'
import { openOurs } from './inspect.ts'

/** Blobs in a backup stand in a table of their own, which no database that is served has. */
const TABLE = 'kept_blob'

/** What the rows of a database say of a blob. */
export type NamedBlob = { key: string; sha256: string; contentType: string }
/** A blob in a backup. */
export type KeptBlob = { key: string; contentType: string; bytes: Uint8Array }

const NAMED = `
  select blob_key as key, sha256, 'application/gzip' as contentType from archive_segment
  union select blob_key, sha256, media_type from attachment order by 1`

/** The blobs that belong to what a database holds. */
export function namedBlobs(file: string): NamedBlob[] {
  return reading(file, (connection) => connection.prepare(NAMED).all() as NamedBlob[])
}

/**
 * Puts the blobs of `keep` into a file, one by one, that it has not got yet; those that `readBlob` does not have, or has
 * damaged, are given back. `former` is an unfinished backup to take over from.
 */
export async function keepBlobs(
  file: string,
  keep: readonly NamedBlob[],
  readBlob: (key: string) => Promise<Uint8Array | null>,
  former: string | null,
): Promise<NamedBlob[]> {
  const connection = new DatabaseSync(file)
  try {
    connection.exec(`create table ${TABLE} (key text primary key, content_type text not null, bytes blob not null)`)
    if (former !== null) takeOver(connection, former)
    const has = connection.prepare(`select 1 from ${TABLE} where key = ?`)
    const add = connection.prepare(`insert into ${TABLE} (key, content_type, bytes) values (?, ?, ?)`)
    const lost: NamedBlob[] = []
    for (const blob of keep) {
      if (has.get(blob.key)) continue
      const bytes = await readBlob(blob.key)
      if (bytes === null || sha256Of(bytes) !== blob.sha256) lost.push(blob)
      else add.run(blob.key, blob.contentType, bytes)
    }
    return lost
  } catch (error) {
    throw explainSqliteError(error, file)
  } finally {
    connection.close()
  }
}

/** What has been deleted since is not taken along. */
function takeOver(connection: DatabaseSync, former: string): void {
  connection.prepare('attach ? as former').run(former)
  connection.exec(`
    insert into ${TABLE} select * from former.${TABLE}
    where key in (select blob_key from archive_segment union select blob_key from attachment);
    detach former`)
}

/** Gives each blob of a backup to `use`, one after the other; says how many there were, and null where none were kept. */
export async function readKeptBlobs(file: string, use: (blob: KeptBlob) => Promise<void>): Promise<number | null> {
  const connection = openOurs(file)
  try {
    if (!hasBlobs(connection)) return null
    const rows = connection.prepare(`select key, content_type as contentType, bytes from ${TABLE} order by key`)
    let count = 0
    for (const row of rows.iterate()) {
      await use(row as KeptBlob)
      count++
    }
    return count
  } finally {
    connection.close()
  }
}

/** Takes the blobs out of a copy of a backup, and their room with them. */
export function dropBlobs(file: string): void {
  if (!reading(file, hasBlobs)) return
  const connection = new DatabaseSync(file)
  try {
    connection.exec(`drop table ${TABLE}; vacuum`)
  } catch (error) {
    throw explainSqliteError(error, file)
  } finally {
    connection.close()
  }
}

function reading<T>(file: string, work: (connection: DatabaseSync) => T): T {
  const connection = openOurs(file)
  try {
    return work(connection)
  } finally {
    connection.close()
  }
}

function hasBlobs(connection: DatabaseSync): boolean {
  return connection.prepare('select 1 from sqlite_schema where name = ?').get(TABLE) !== undefined
}

function sha256Of(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
