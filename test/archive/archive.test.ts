import { rmSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openBlobs } from '../../server/src/blobs/open-blobs.ts'
import { createArchiveReader } from '../../server/src/features/archive/archive-reader.ts'
import { transcriptPath } from '../../server/src/features/archive/transcript-link.ts'
import { createConversationArchiving } from '../../server/src/features/conversations/for-archive/conversation-archiving.ts'
import { createConversationTurns } from '../../server/src/features/conversations/for-turns/conversation-turns.ts'
import { createOrganization, createPersona, expectError, type Json, type RunningApp, startApp } from '../support/app.ts'
import {
  archiverOn,
  blobFiles,
  type Conversation,
  createLong,
  type Message,
  read,
  SMALL_ARCHIVE,
  transcript,
} from '../support/archive.ts'
import { S3_KEY, startS3 } from '../support/blob-server.ts'
import { type DatabaseKind, databaseKinds, onEveryDatabase } from '../support/databases.ts'
import { environmentOf, runCli } from '../support/process.ts'

onEveryDatabase('the archive', (kind) => {
  let server: RunningApp
  let organizationId: string
  beforeAll(async () => {
    server = await startApp(kind, SMALL_ARCHIVE)
    organizationId = (await server.app.services.organizations.first())?.id ?? ''
  })
  afterAll(() => server.close())

  const archive = async (): Promise<void> => {
    const done = await server.app.archiver.round()
    expect(done).toMatchObject({ isComplete: true, failures: 0 })
  }
  const archived = async (count: number, more: Json = {}): Promise<{ before: Conversation; now: Conversation }> => {
    const before = await createLong(server, count, more)
    await archive()
    return { before, now: await read(server, before.conversationId) }
  }
  const say = (id: string, message: string) =>
    server.call<{ runId: string; messageId: string }>('PATCH', `/conversations/${id}/chat`, { message })
  const signedPath = async (id: string, expiresAt: number) =>
    transcriptPath(
      await server.app.services.organizations.tokenSecret(organizationId),
      {
        organizationId,
        conversationId: id,
        keyId: (await server.app.services.apiKeys.list(organizationId))[0]?.id ?? '',
      },
      expiresAt,
    )

  /** A talk with a persona that is archived but for its newest messages. Made once, because it takes many turns. */
  const talk = once(async () => {
    const { personaId } = await createPersona(server, {}, { text: 'Yes.' })
    const started = await server.call<Conversation>('POST', '/conversations/persona', {
      personaId,
      replacements: { name: 'Canary' },
    })
    const id = started.body.conversationId
    const { runId, messageId } = (await say(id, 'first')).body
    const events = async () => (await server.open('GET', `/conversations/${id}/runs/${runId}/events`)).text()
    const eventsAtFirst = await events()
    for (let i = 0; i < 61; i++) await say(id, `message ${i}`)
    await archive()
    return { id, personaId, messageId, events, eventsAtFirst }
  })

  test('holds the older messages, and the link answers all of them', async () => {
    const { before, now } = await archived(301)
    const { chatMessages, chatMessagesBlobUri, ...rest } = now
    const { chatMessages: all, chatMessagesBlobUri: none, areChatMessagesInBlob, ...same } = before
    expect([none, areChatMessagesInBlob]).toEqual([null, false])
    expect(rest).toEqual({ ...same, areChatMessagesInBlob: true, chatMessagesCount: 302 })
    expect(chatMessages).toEqual(all.slice(-100))
    expect(chatMessagesBlobUri).toMatch(
      new RegExp(`^${server.url}/transcripts/[^?]+\\?key=[0-9a-f-]{36}&expires=\\d+&signature=[\\w-]{43}$`),
    )
    expect(await transcript(server, now.conversationId)).toEqual(all)
    const changed = await server.call<Conversation>('PATCH', `/conversations/${now.conversationId}/set-metadata`, {
      metadata: { a: 1 },
    })
    expect(changed.body).toMatchObject({ areChatMessagesInBlob: true, chatMessages, metadata: { a: 1 } })
  })

  test('leaves a conversation alone that is short enough', async () => {
    const { before, now } = await archived(110)
    expect(now).toEqual(before)
  })

  test('shows in lists', async () => {
    const externalUserId = `user-${crypto.randomUUID()}`
    const { now } = await archived(150, { externalUserId })
    const short = await createLong(server, 3, { externalUserId })
    const list = async (query: string) =>
      (await server.call<{ data: Conversation[] }>('GET', `/conversations/user/${externalUserId}${query}`)).body.data
    const [first, second] = await list('?includeMessages=true')
    expect([first, second?.chatMessages]).toEqual([short, now.chatMessages])
    const bare = await list('')
    expect(bare.map((one) => [one.areChatMessagesInBlob, one.chatMessages])).toEqual([
      [false, null],
      [true, null],
    ])
    expect((await fetch(bare[1]?.chatMessagesBlobUri ?? '')).status).toBe(200)
  })

  test('goes on with a conversation, again and again', async () => {
    const { before } = await archived(150)
    const id = before.conversationId
    for (let i = 0; i < 12; i++) expect((await say(id, `more ${i}`)).status).toBe(200)
    await archive()
    await say(id, 'and more')
    const all = await transcript(server, id)
    const now = await read(server, id)
    expect(all.length).toBe(now.chatMessagesCount)
    expect(all.slice(0, 151)).toEqual(before.chatMessages)
    expect(now.chatMessages).toEqual(all.slice(-100))
    expect(all.map(({ messageId }) => messageId)).toEqual(all.map(({ messageId }) => messageId).toSorted())
    expect(blobFiles(server).filter((file) => file.includes(id)).length).toBe(2)
  })

  test('is read as far as a model wants to look back', async () => {
    const { before } = await archived(230)
    const key = { organizationId, conversationId: before.conversationId }
    const { database, clock, organizations } = server.app.services
    const blobs = openBlobs(server.config.blobs)
    const reader = createArchiveReader({ database, clock, organizations, blobs, log: { warn: () => {} } })
    const turns = createConversationTurns({ database, archive: reader })
    const spoken = before.chatMessages.slice(1).map(({ messageId }) => messageId)
    for (const size of [1, 64, 100, 1_000]) {
      const seen: string[] = []
      for (let from = spoken.at(-1) ?? ''; ; ) {
        const page = (await turns.newest(key, from, size + 1)).map(({ id }) => id)
        expect(page[0]).toBe(from)
        seen.push(...page.slice(0, size))
        if (page.length <= size) break
        from = page[size] ?? ''
      }
      expect(seen).toEqual(spoken.toReversed())
      if (size === 1)
        expect((await turns.newest(key, spoken[5] ?? '', 3)).map(({ id }) => id)).toEqual(
          spoken.slice(3, 6).toReversed(),
        )
    }
  })

  test('takes feedback on an archived message, which the link shows', async () => {
    const { before } = await archived(150)
    const id = before.conversationId
    const { messageId = '' } = before.chatMessages[3] ?? {}
    const score = (of: string) => server.call('PATCH', `/conversations/${id}/set-score/${of}`, { score: 7 })
    expect((await score(messageId)).status).toBe(200)
    const shown = (await transcript(server, id))[3]
    expect(shown).toEqual({ ...before.chatMessages[3], feedbacks: [expect.objectContaining({ score: 7 })] })
    expectError(await score(crypto.randomUUID()), 'not_found')
    // In the range of the segment, and not in it.
    expectError(await score(`${messageId.slice(0, -4)}0000`), 'not_found')
  })

  test('replays the events of a reply that is archived', async () => {
    const { id, messageId, events, eventsAtFirst } = await talk()
    expect((await read(server, id)).chatMessages.map((message) => message.messageId)).not.toContain(messageId)
    expect(await events()).toBe(eventsAtFirst)
    expect(eventsAtFirst).toContain('[DONE]')
  })

  test('leaves the last exchange to regenerate and edit', async () => {
    const { before } = await archived(201)
    const id = before.conversationId
    const last = before.chatMessages.at(-1)?.messageId
    expect((await server.call('POST', `/conversations/${id}/regenerate`)).status).toBe(200)
    const edit = (messageId: string | undefined) =>
      server.call('PATCH', `/conversations/${id}/messages/${messageId}`, { content: 'rather this' })
    expectError(await edit(before.chatMessages[3]?.messageId), 'unprocessable_entity')
    expectError(await edit(crypto.randomUUID()), 'not_found')
    expect((await edit(last)).status).toBe(200)
    const now = await read(server, id)
    expect(now.chatMessages.length).toBe(100)
    expect(now.chatMessages.at(-2)?.content).toBe('rather this')
    const all = await transcript(server, id)
    expect([all.length, all.slice(-100)]).toEqual([now.chatMessagesCount, now.chatMessages])
  })

  test('hides the system message of a persona that is secret by now', async () => {
    const { id, personaId } = await talk()
    const open = await transcript(server, id)
    expect(open[0]).toMatchObject({ role: 'system', content: 'You are Canary.' })
    await server.call('PATCH', `/personas/${personaId}`, { isSecret: true })
    const now = await read(server, id)
    expect(await transcript(server, id)).toEqual(open.slice(1))
    expect(now.chatMessagesCount).toBe(open.length - 1)
    expect(JSON.stringify(now)).not.toContain('You are Canary')
    expectError(
      await server.call('PATCH', `/conversations/${id}/set-score/${open[0]?.messageId}`, { score: 1 }),
      'not_found',
    )
  })

  test('gives links to nobody else, and not for ever', async () => {
    const { now } = await archived(150)
    const id = now.conversationId
    const uri = now.chatMessagesBlobUri ?? ''
    const link = new URL(uri)
    const expires = Number(link.searchParams.get('expires')) * 1_000 - Date.now()
    expect([expires > 23.9 * 3_600_000, expires < 24.1 * 3_600_000]).toEqual([true, true])
    const other = await createOrganization(server)
    const elsewhere = await createLong(server, 150)
    const wrong = {
      signature: uri.replace(/.$/, (last) => (last === 'A' ? 'E' : 'A')),
      later: uri.replace(/expires=\d/, 'expires=9'),
      conversation: uri.replace(id, elsewhere.conversationId),
      organization: uri.replace(organizationId, other.id),
      nowhere: uri.replace(organizationId, crypto.randomUUID()),
      expired: server.url + (await signedPath(id, Date.now() - 2_000)),
    }
    for (const [what, address] of Object.entries(wrong)) {
      const answer = await server.call('GET', address.slice(server.url.length), undefined, { 'x-hl-api-key': '' })
      expectError(answer, 'unauthorized', what)
    }
    for (const query of [
      '',
      '?expires=1',
      '?signature=x',
      '?expires=x&signature=y',
      '?expires=-1&signature=y',
      '?expires=1&signature=%ff',
    ]) {
      expectError(await server.call('GET', `/transcripts/${organizationId}/${id}${query}`), 'bad_request', query)
    }
    expectError(await server.call('GET', `/transcripts/x/${id}?expires=1&signature=y`), 'bad_request')
    // A path under a prefix, and one of a conversation that has no archive, are as good as any.
    expect((await fetch(uri.replace('/transcripts', '/api/transcripts'))).status).toBe(200)
    const short = await createLong(server, 0, { systemMessage: null })
    const response = await fetch(server.url + (await signedPath(short.conversationId, Date.now() + 60_000)))
    expect([response.status, await response.json()]).toEqual([200, []])
  })

  test('goes away with its conversation', async () => {
    const { now } = await archived(150)
    const id = now.conversationId
    expect(blobFiles(server).some((file) => file.includes(id))).toBe(true)
    await server.call('DELETE', `/conversations/${id}`)
    const link = now.chatMessagesBlobUri ?? ''
    expectError(await server.call('GET', link.slice(server.url.length)), 'gone')
    await archive()
    expect(blobFiles(server).some((file) => file.includes(id))).toBe(false)
  })

  test('that cannot be read is a 503 where it is needed, and nowhere else', async () => {
    const { before, now } = await archived(150)
    const id = now.conversationId
    const [file = ''] = blobFiles(server).filter((name) => name.includes(id))
    const link = (now.chatMessagesBlobUri ?? '').slice(server.url.length)
    for (const breakIt of [() => writeFileSync(file, 'not what was written'), () => rmSync(file)]) {
      breakIt()
      const messageId = before.chatMessages[2]?.messageId
      for (const answer of [
        await server.call('GET', link),
        await server.call('PATCH', `/conversations/${id}/set-score/${messageId}`, { score: 1 }),
      ]) {
        expectError(answer, 'unavailable')
        expect(answer.headers.get('retry-after')).toBe('5')
      }
      expect((await read(server, id)).chatMessages.length).toBe(100)
      expect((await say(id, 'go on')).status).toBe(200)
    }
  })

  test('breaks a transcript off that it cannot finish', async () => {
    // What is short is gathered before anything is sent, and then there is still time for a 503.
    const { before } = await archived(150, { systemMessage: 'Be brief. '.repeat(20_000) })
    const id = before.conversationId
    for (let i = 0; i < 10; i++) await say(id, `more ${i}`)
    await archive()
    const files = blobFiles(server).filter((name) => name.includes(id))
    expect(files.length).toBe(2)
    rmSync(files.toSorted()[1] ?? '')
    const { chatMessagesBlobUri } = await read(server, id)
    const response = await fetch(chatMessagesBlobUri ?? '')
    expect(response.status).toBe(200)
    await expect(response.text()).rejects.toThrow()
    const exported = await server.open('GET', `/conversations/${id}/export`)
    await expect(exported.text()).rejects.toThrow()
  })

  test('answers the first message again as it was, whatever has moved since', async () => {
    const body = {
      aiSystem: 'rehearsal',
      model: 'rehearsal',
      message: 'and now?',
      messages: Array.from({ length: 160 }, (_, i) => ({ role: i % 2 ? 'assistant' : 'user', content: `${i}` })),
    }
    const send = () => server.call<Conversation>('POST', '/conversations', body, { 'idempotency-key': 'first-of-many' })
    const first = await send()
    expect(first.body.chatMessages.length).toBe(162)
    await archive()
    const again = await send()
    expect(again.headers.get('x-dramatis-replayed')).toBe('true')
    expect(again.body).toEqual(first.body)
  })

  test('is exported and erased with everything else of a user', async () => {
    const externalUserId = `erase-${crypto.randomUUID()}`
    const { before } = await archived(150, { externalUserId })
    const path = `/users/${externalUserId}`
    const exported = await (await server.open('GET', `${path}/export`)).text()
    expect(before.chatMessages.filter(({ messageId }) => !exported.includes(messageId))).toEqual([])
    expect((await server.call('DELETE', path)).status).toBe(204)
    expect(blobFiles(server).filter((file) => file.includes(before.conversationId))).toEqual([])
  })

  test('looks at every conversation once, of all organizations, and needs no long read for it', async () => {
    const { key } = await createOrganization(server)
    const start = async (i: number) => {
      const begun = { aiSystem: 'rehearsal', model: 'rehearsal', systemMessage: 'Be brief.' }
      const headers: Record<string, string> = i % 2 === 0 ? {} : { 'x-hl-api-key': key }
      expect((await server.call('POST', '/conversations', begun, headers)).status).toBe(200)
    }
    // More than are read at once.
    for (let i = 0; i < 510; i += 30) await Promise.all(Array.from({ length: 30 }, (_, j) => start(i + j)))
    const scan = () => Promise.reject(new Error('a long read'))
    const { page } = createConversationArchiving({ database: { ...server.app.services.database, scan } })
    const keys = (await page(null, 5_000)).map((one) => `${one.organizationId} ${one.conversationId}`)
    expect(keys.length).toBeGreaterThanOrEqual(510)
    expect(keys).toEqual([...new Set(keys)].toSorted())
    const [organizationId = '', conversationId = ''] = keys[7]?.split(' ') ?? []
    const behind = await page({ organizationId, conversationId }, 501)
    expect(behind.map((one) => `${one.organizationId} ${one.conversationId}`)).toEqual(keys.slice(8, 509))
  })

  test('takes cold conversations', async () => {
    const externalUserId = `cold-${crypto.randomUUID()}`
    const { conversationId: id, chatMessages } = await createLong(server, 110, { externalUserId })
    const inDays = (days: number) => () => Date.now() + days * 86_400_000
    const isArchived = async () => (await read(server, id)).areChatMessagesInBlob
    await archiverOn(server, { afterDays: 10, clock: inDays(9) }).round()
    await archiverOn(server, { afterDays: 0, clock: inDays(1_000) }).round()
    expect(await isArchived()).toBe(false)
    await archiverOn(server, { afterDays: 10, clock: inDays(11) }).round()
    expect(await isArchived()).toBe(true)
    expect(await transcript(server, id)).toEqual(chatMessages)
  })

  test('is written beside turns that run and wait', async () => {
    const { personaId } = await createPersona(server, {}, { text: 'Word after word.', delayMs: 2 })
    const started = await server.call<Conversation>('POST', '/conversations/persona', { personaId })
    const id = started.body.conversationId
    let isOver = false
    const archiving = (async () => {
      while (!isOver) await archiverOn(server, { messages: 1 }).round()
    })()
    try {
      for (let round = 0; round < 5; round++) {
        const sent = Array.from({ length: 12 }, (_, i) =>
          server.call('PATCH', `/conversations/${id}/chat?onBusy=wait`, { message: `${round}-${i}` }),
        )
        expect((await Promise.all(sent)).map(({ status }) => status)).toEqual(sent.map(() => 200))
      }
    } finally {
      isOver = true
      await archiving
    }
    await archiverOn(server, { messages: 1 }).round()
    const all = await transcript(server, id)
    expect(all.length).toBe(2 + 120)
    expect(all.filter(({ role }) => role === 'user').length).toBe(60)
    const ids = all.map(({ messageId }: Message) => messageId)
    expect(ids).toEqual([...new Set(ids)].toSorted())
    expect((await read(server, id)).chatMessagesCount).toBe(122)
  })
})

test('dramatis archive works beside a running server, and says what it could not do', async () => {
  const server = await startApp(databaseKinds[0] as DatabaseKind, SMALL_ARCHIVE)
  const before = await createLong(server, 150)
  const env = environmentOf(server.place, SMALL_ARCHIVE)
  const refused = await runCli(['archive'], { ...env, DRAMATIS_BLOB_URL: `file:${import.meta.filename}` })
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('could not be archived') })
  const done = await runCli(['archive'], env)
  expect(done).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^Moved 48 messages in 1 segments to \S+blobs\.\n$/),
  })
  expect(await transcript(server, before.conversationId)).toEqual(before.chatMessages)
  await server.close()
})

test('the archive on S3 works, and waits for it where it does not answer', async () => {
  const store = await startS3()
  const server = await startApp(databaseKinds[0] as DatabaseKind, {
    ...SMALL_ARCHIVE,
    DRAMATIS_BLOB_URL: `s3://bucket/prefix?endpoint=${store.url}`,
    DRAMATIS_PUBLIC_URL: 'https://personas.example.com/somewhere/',
    AWS_ACCESS_KEY_ID: S3_KEY.accessKeyId,
    AWS_SECRET_ACCESS_KEY: S3_KEY.secretAccessKey,
  })
  const before = await createLong(server, 150)
  store.failWith(() => 403)
  expect(await server.app.archiver.round()).toMatchObject({ segments: 0, failures: 1 })
  expect(await read(server, before.conversationId)).toEqual(before)
  store.failWith(() => null)
  expect(await server.app.archiver.round()).toMatchObject({ segments: 1, failures: 0 })
  const { chatMessagesBlobUri } = await read(server, before.conversationId)
  const base = 'https://personas.example.com/somewhere'
  expect(chatMessagesBlobUri?.startsWith(`${base}/transcripts/`)).toBe(true)
  const link = chatMessagesBlobUri?.slice(base.length) ?? ''
  store.failWith(() => 403)
  expectError(await server.call('GET', link), 'unavailable')
  store.failWith(() => null)
  expect((await server.call('GET', link)).body).toEqual(before.chatMessages)
  expect([...store.blobs.keys()].every((path) => path.startsWith('/bucket/prefix/archive/'))).toBe(true)
  await server.close()
  await store.close()
})

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined
  return () => {
    made ??= make()
    return made
  }
}
