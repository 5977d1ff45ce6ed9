import { afterAll, beforeAll, expect, test } from 'vitest'
import type { BlobStore } from '../../server/src/blobs/blob-store.ts'
import { openBlobs } from '../../server/src/blobs/open-blobs.ts'
import { createArchiveReader } from '../../server/src/features/archive/archive-reader.ts'
import { createBlobSweeper } from '../../server/src/features/unclaimed-blobs/blob-sweeper.ts'
import type { Database } from '../../server/src/storage/database.ts'
import { expectError, type RunningApp, startApp } from '../support/app.ts'
import {
  archiverOn,
  blobFiles,
  type Conversation,
  createLong,
  read,
  SMALL_ARCHIVE,
  transcript,
} from '../support/archive.ts'
import { onEveryDatabase } from '../support/databases.ts'

/** Whether the step that fails has been done before nobody hears of it any more. */
type Crash = 'before' | 'after'

/** Of a history of 150: the newest 100 before the last user's message stay, and so does the last exchange. */
const MOVED = 48

onEveryDatabase('a crash while archiving', (kind) => {
  let server: RunningApp
  let organizationId: string
  beforeAll(async () => {
    server = await startApp(kind, SMALL_ARCHIVE)
    organizationId = (await server.app.services.organizations.first())?.id ?? ''
  })
  afterAll(() => server.close())

  const later = () => Date.now() + 2 * 3_600_000
  const keyOf = ({ conversationId }: Conversation) => ({ organizationId, conversationId })
  const filesOf = ({ conversationId }: Conversation) =>
    blobFiles(server).filter((file) => file.includes(conversationId))

  /** The database and the blobs, which end with the step `last`. */
  function mortal(last: number, crash: Crash): { database: Database; blobs: BlobStore; steps: () => number } {
    const { database } = server.app.services
    const blobs = openBlobs(server.config.blobs)
    let steps = 0
    const step =
      <A extends unknown[], T>(work: (...args: A) => Promise<T>) =>
      async (...args: A): Promise<T> => {
        steps++
        if (steps < last) return work(...args)
        if (steps === last && crash === 'after') await work(...args)
        throw new Error('crashed')
      }
    return {
      database: { ...database, write: step(database.write) },
      blobs: { ...blobs, put: step(blobs.put), get: step(blobs.get), delete: step(blobs.delete) },
      steps: () => steps,
    }
  }

  async function expectWhole(before: Conversation): Promise<void> {
    const now = await read(server, before.conversationId)
    expect(now.chatMessagesCount).toBe(before.chatMessagesCount)
    const all = now.areChatMessagesInBlob ? await transcript(server, before.conversationId) : now.chatMessages
    expect(all).toEqual(before.chatMessages)
  }

  async function expectSettled(before: Conversation): Promise<void> {
    expect(await archiverOn(server, { clock: later }).round()).toMatchObject({ isComplete: true, failures: 0 })
    await expectWhole(before)
    expect(filesOf(before).length).toBe(1)
  }

  test.each<Crash>(['before', 'after'])('loses nothing, whichever step it comes %s', async (crash) => {
    for (let last = 1; ; last++) {
      const before = await createLong(server, 150)
      const { steps, ...parts } = mortal(last, crash)
      const moved = await archiverOn(server, parts)
        .archive(keyOf(before))
        .catch(() => null)
      await expectWhole(before)
      await expectSettled(before)
      if (moved === null) continue
      // Announced, put, read back, recorded.
      expect([moved, steps(), last]).toEqual([MOVED, 4, 5])
      return
    }
  })

  test('is no worse than a store that damages what it is given', async () => {
    const before = await createLong(server, 150)
    const blobs = openBlobs(server.config.blobs)
    const put: BlobStore['put'] = (key, bytes, metadata) => blobs.put(key, bytes.subarray(0, -20), metadata)
    await expect(archiverOn(server, { blobs: { ...blobs, put } }).archive(keyOf(before))).rejects.toThrow(/checksum/)
    expect((await read(server, before.conversationId)).areChatMessagesInBlob).toBe(false)
    await expectSettled(before)
  })

  /** Something that happens when the blob has been written, or when it has been read back. */
  const meanwhile = (when: 'put' | 'get', work: () => Promise<unknown>): BlobStore => {
    const blobs = openBlobs(server.config.blobs)
    return {
      ...blobs,
      async put(...args) {
        await blobs.put(...args)
        if (when === 'put') await work()
      },
      async get(key) {
        const bytes = await blobs.get(key)
        if (when === 'get') await work()
        return bytes
      },
    }
  }

  test('lets nobody claim a blob that was swept', async () => {
    const sweep = () => archiverOn(server, { clock: later, messages: 1_000 }).round()
    for (const when of ['put', 'get'] as const) {
      const before = await createLong(server, 150)
      const moved = await archiverOn(server, { blobs: meanwhile(when, sweep) })
        .archive(keyOf(before))
        .catch((error: Error) => error.message)
      expect(moved).toEqual(when === 'put' ? expect.stringContaining('is missing') : 0)
      expect(filesOf(before)).toEqual([])
      await expectSettled(before)
    }
  })

  test('archives once what two archive at the same time', async () => {
    const before = await createLong(server, 150)
    const blobs = meanwhile('put', () => archiverOn(server).archive(keyOf(before)))
    expect(await archiverOn(server, { blobs }).archive(keyOf(before))).toBe(0)
    await expectSettled(before)
    const other = await createLong(server, 150)
    const moved = await Promise.all([1, 2, 3].map(() => archiverOn(server).archive(keyOf(other))))
    expect(moved.toSorted()).toEqual([0, 0, MOVED])
    await expectSettled(other)
  })

  test('shows every message once to those who read while they are moved', async () => {
    for (let round = 0; round < 5; round++) {
      const before = await createLong(server, 1_150)
      const reader = createArchiveReader({
        ...server.app.services,
        log: { warn: () => {} },
        blobs: openBlobs(server.config.blobs),
      })
      const seen: string[] = []
      const reading = (async () => {
        for await (const messages of reader.transcript(keyOf(before))) {
          seen.push(...messages.map(({ id }) => id))
          await new Promise((resolve) => setTimeout(resolve, round))
        }
      })()
      const [, moved] = await Promise.all([reading, archiverOn(server).archive(keyOf(before))])
      expect(moved).toBe(1_048)
      expect(seen).toEqual(before.chatMessages.map(({ messageId }) => messageId))
    }
  })

  test('leaves nothing of a conversation that is deleted meanwhile', async () => {
    const before = await createLong(server, 150)
    const path = `/conversations/${before.conversationId}`
    const blobs = meanwhile('put', () => server.call('DELETE', path))
    expect(await archiverOn(server, { blobs }).archive(keyOf(before))).toBe(0)
    expectError(await server.call('GET', path), 'gone')
    expect(filesOf(before)).toEqual([])
  })

  test.each<Crash>(['before', 'after'])(
    'of the sweeper leaves no blob behind, whichever step it comes %s',
    async (crash) => {
      for (let last = 1; ; last++) {
        const before = await createLong(server, 150)
        await archiverOn(server).archive(keyOf(before))
        expect(filesOf(before).length).toBe(1)
        await server.call('DELETE', `/conversations/${before.conversationId}`)
        const { steps, ...parts } = mortal(last, crash)
        const swept = await createBlobSweeper({ ...parts, clock: Date.now })
          .sweep()
          .catch(() => null)
        if (swept === null) await createBlobSweeper({ ...mortal(1_000, crash), clock: Date.now }).sweep()
        expect(filesOf(before)).toEqual([])
        if (swept === null) continue
        expect([swept, steps()]).toEqual([1, 3])
        return
      }
    },
  )
})
