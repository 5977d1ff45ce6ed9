import { readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openBlobs } from '../../server/src/blobs/open-blobs.ts'
import { backupWithBlobs } from '../../server/src/storage/sqlite/blob-backup.ts'
import { type RunningApp, serve } from '../support/app.ts'
import { blobFiles, createLong, SMALL_ARCHIVE, transcript } from '../support/archive.ts'
import { PDF, PNG, upload } from '../support/attachments.ts'
import { S3_KEY, startS3 } from '../support/blob-server.ts'
import { databaseKinds, type TestDatabase } from '../support/databases.ts'
import { environmentOf, runCli } from '../support/process.ts'

const [sqlite, postgres] = databaseKinds
const REHEARSAL = { aiSystem: 'rehearsal', model: 'rehearsal' }

describe('backup --with-blobs', () => {
  let here: TestDatabase
  let there: TestDatabase
  let server: RunningApp
  let file: string
  beforeEach(async () => {
    here = await (sqlite as NonNullable<typeof sqlite>).create()
    there = await (sqlite as NonNullable<typeof sqlite>).create()
    file = join(there.directory, 'copy.db')
    server = await serve(here, SMALL_ARCHIVE)
  })
  afterEach(async () => {
    await server.close()
    await here.remove()
    await there.remove()
  })

  /** A conversation with a file in a message of it. */
  async function withFile(bytes: Uint8Array, type: string): Promise<{ id: string; path: string }> {
    const { body } = await server.call('POST', '/conversations', REHEARSAL)
    const id = String(body['conversationId'])
    const uploaded = await upload(server, id, { type, bytes, name: 'a file' })
    const { attachmentId } = uploaded.body
    const said = await server.call('POST', `/conversations/${id}/chat`, {
      message: 'Look',
      attachments: [{ attachmentId }],
    })
    expect([said.status, said.text]).toEqual([200, expect.anything()])
    return { id, path: `/conversations/${id}/attachments/${attachmentId}` }
  }

  async function archived(): Promise<string> {
    const { conversationId } = await createLong(server, 150)
    await server.app.archiver.round()
    return conversationId
  }

  const on = (place: TestDatabase, args: string[], more: Record<string, string> = {}) =>
    runCli(args, environmentOf(place, more))
  const read = async (from: RunningApp, path: string) =>
    Buffer.from(await (await from.open('GET', path)).arrayBuffer()).toString('hex')

  test('beside a running server, and restored: attachments and archived conversations are there', async () => {
    const [picture, paper] = [await withFile(PNG, 'image/png'), await withFile(PDF, 'application/pdf')]
    const long = await archived()
    const before = await transcript(server, long)
    const backup = await on(here, ['backup', file, '--with-blobs'])
    expect(backup).toMatchObject({ code: 0, stderr: '', stdout: expect.stringMatching(/ with 3 files of .*blobs \(/) })
    expect(statSync(file).mode & 0o777).toBe(0o600)
    expect(readdirSync(there.directory)).toEqual(['copy.db'])

    const restored = await on(there, ['restore', file])
    expect(restored).toMatchObject({ code: 0, stderr: '', stdout: expect.stringMatching(/blobs has its 3 files\.\n/) })
    const elsewhere = await serve(there, SMALL_ARCHIVE)
    try {
      expect(await read(elsewhere, picture.path)).toBe(PNG.toString('hex'))
      expect(await read(elsewhere, paper.path)).toBe(PDF.toString('hex'))
      expect(await transcript(elsewhere, long)).toEqual(before)
      expect(before.length).toBeGreaterThan(150)
      expect(blobFiles(elsewhere).every((path) => (statSync(path).mode & 0o077) === 0)).toBe(true)
    } finally {
      await elsewhere.close()
    }
    // What is served has no second copy of them.
    const database = new DatabaseSync(join(there.directory, 'dramatis.db'), { readOnly: true })
    expect(database.prepare("select 1 from sqlite_schema where name = 'kept_blob'").get()).toBeUndefined()
    database.close()
  })

  test('goes from a folder to a bucket', async () => {
    const { path } = await withFile(PNG, 'image/png')
    expect(await on(here, ['backup', file, '--with-blobs'])).toMatchObject({ code: 0 })
    const s3 = await startS3()
    const bucket = {
      DRAMATIS_BLOB_URL: `s3://a-bucket/moved?endpoint=${encodeURIComponent(s3.url)}&region=eu-central-1`,
      AWS_ACCESS_KEY_ID: S3_KEY.accessKeyId,
      AWS_SECRET_ACCESS_KEY: S3_KEY.secretAccessKey,
    }
    try {
      expect(await on(there, ['restore', file], bucket)).toMatchObject({ code: 0, stderr: '' })
      const elsewhere = await serve(there, bucket)
      expect(await read(elsewhere, path)).toBe(PNG.toString('hex'))
      await elsewhere.close()
      const again = join(there.directory, 'again.db')
      expect(await on(there, ['backup', again, '--with-blobs'], bucket)).toMatchObject({ code: 0, stderr: '' })
    } finally {
      await s3.close()
    }
  })

  test('names what is missing or damaged, and holds the rest', async () => {
    await withFile(PNG, 'image/png')
    await withFile(PDF, 'application/pdf')
    await withFile(PDF, 'application/pdf')
    const [gone = '', damaged = ''] = blobFiles(server)
    rmSync(gone)
    writeFileSync(damaged, 'something else')
    const backup = await on(here, ['backup', file, '--with-blobs'])
    expect(backup).toMatchObject({ code: 1, stdout: expect.stringMatching(/ with 1 file of /) })
    expect(
      backup.stderr.match(/^attachments\/\S+ is missing or damaged there, and is not in the backup\.$/gm),
    ).toHaveLength(2)
    expect(await on(there, ['restore', file])).toMatchObject({ code: 0 })
  })

  test('leaves out what is deleted while it is made, and does not copy the rest again', async () => {
    const kept = await withFile(PNG, 'image/png')
    const deleted = await withFile(PDF, 'application/pdf')
    const store = openBlobs(server.config.blobs)
    const asked: string[] = []
    const { lost, blobs } = await backupWithBlobs({
      file: join(here.directory, 'dramatis.db'),
      target: file,
      overwrite: false,
      async readBlob(key) {
        asked.push(key)
        if (!key.includes(deleted.id)) return store.get(key)
        expect((await server.call('DELETE', `/conversations/${deleted.id}`)).status).toBe(204)
        await expect
          .poll(async () => {
            await server.app.archiver.round()
            return store.exists(key)
          })
          .toBe(false)
        return store.get(key)
      },
    })
    expect({ lost, blobs }).toEqual({ lost: [], blobs: 1 })
    expect(asked.filter((key) => key.includes(kept.id))).toHaveLength(1)
    expect(readdirSync(there.directory)).toEqual(['copy.db'])
    expect(await on(there, ['restore', file])).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/has its 1 file\./),
    })
    const elsewhere = await serve(there)
    expect(await read(elsewhere, kept.path)).toBe(PNG.toString('hex'))
    expect((await elsewhere.call('GET', `/conversations/${deleted.id}`)).status).toBe(410)
    await elsewhere.close()
  })

  test('is not restored over a running server, or a database without --force, and puts no file there then', async () => {
    await withFile(PNG, 'image/png')
    expect(await on(here, ['backup', file, '--with-blobs'])).toMatchObject({ code: 0 })
    for (const path of blobFiles(server)) rmSync(path)
    expect(await on(here, ['restore', file, '--force'])).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/a Dramatis server is using/),
    })
    await server.close()
    expect(await on(here, ['restore', file])).toMatchObject({ code: 1, stderr: expect.stringMatching(/add --force/) })
    expect(blobFiles(server)).toEqual([])
    expect(await on(here, ['restore', file, '--force'])).toMatchObject({ code: 0 })
    expect(blobFiles(server)).toHaveLength(1)
    server = await serve(here)
  })
})

test.runIf(postgres)('on PostgreSQL it names the tools to use', async () => {
  const place = await (postgres as NonNullable<typeof postgres>).create()
  const backup = await runCli(['backup', 'x', '--with-blobs'], environmentOf(place))
  expect(backup).toMatchObject({ code: 1, stderr: expect.stringMatching(/^dramatis backup: .*pg_dump.*\n$/) })
  await place.remove()
})
