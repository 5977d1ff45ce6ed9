import { readdirSync } from 'node:fs'
import { expect, test } from 'vitest'
import { ERASED_TABLES } from '../../server/src/features/privacy/erase-queries.ts'
import { createEraseService } from '../../server/src/features/privacy/erase-service.ts'
import { StorageError } from '../../server/src/storage/database.ts'
import { createPersona, expectError, type Json, type RunningApp, serve, startApp } from '../support/app.ts'
import { filesWith, inspect, tablesOf, tablesWith } from '../support/canaries.ts'
import { onEveryDatabase, type TestDatabase } from '../support/databases.ts'
import { startServer } from '../support/process.ts'

const GENERAL = { aiSystem: 'rehearsal', model: 'rehearsal' }
const CANARY = 'canary-4711'
const USER = `user-${CANARY}`

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 20))
}

/** Fills every field that a caller or a model can write to with the canary. */
async function leaveCanaries(server: RunningApp): Promise<string[]> {
  const long = `${CANARY} `.repeat(2_000)
  const script = { text: `reply ${long}` }
  const persona = await createPersona(server, { personaText: 'You know {{secret}}.' })
  const start = (path: string, body: Json, key: string) =>
    server.call('POST', path, { externalUserId: USER, metadata: { note: CANARY }, ...body }, { 'idempotency-key': key })
  const answers = await Promise.all([
    start(
      '/conversations/persona',
      { personaId: persona['personaId'], replacements: { secret: CANARY, name: CANARY } },
      'one',
    ),
    start(
      '/conversations',
      {
        ...GENERAL,
        systemMessage: CANARY,
        message: long,
        configuration: { rehearsal: script, stop: `${CANARY}!` },
        messages: [{ role: 'tool', content: CANARY, name: CANARY, toolCallId: CANARY }],
      },
      'two',
    ),
    start('/conversations', { ...GENERAL, message: `deleted ${long}` }, 'three'),
  ])
  const ids = answers.map(({ body }) => body['conversationId'] as string)
  const [first = '', , third = ''] = ids
  const at = `/conversations/${first}`
  const chat = await server.call('PATCH', `${at}/chat`, { message: `said ${long}` }, { 'idempotency-key': 'four' })
  const { messageId } = chat.body
  const given = { comments: CANARY, tags: [CANARY] }
  await server.call('PATCH', `${at}/set-score/${messageId}`, given, { 'idempotency-key': 'five' })
  await server.call('PATCH', `${at}/set-score`, { score: 1, scoreText: CANARY, scoreTags: CANARY })
  await server.call('PATCH', `${at}/update`, { conversationName: CANARY, conversationStatus: CANARY })
  await server.call('PATCH', `${at}/update`, {}, { 'idempotency-key': 'six' })
  await server.call('POST', `${at}/regenerate`)
  const { chatMessages } = (await server.call<{ chatMessages: Json[] }>('GET', at)).body
  const said = chatMessages.findLast(({ role }) => role === 'user')
  await server.call('PATCH', `${at}/messages/${said?.['messageId']}`, { content: `edited ${long}` })
  await server.call('DELETE', `/conversations/${third}`)
  return ids
}

async function totals(place: TestDatabase) {
  return inspect(place, async (query) => {
    const sums = 'sum(prompt_tokens) as prompt, sum(completion_tokens) as completion'
    const [runs] = await query(`select count(*) as runs, ${sums} from run`)
    const [erased] = await query(`select coalesce(sum(runs), 0) as runs, ${sums} from erased_usage`)
    const [messages] = await query('select count(*) as conversations, sum(message_count) as messages from conversation')
    const [gone] = await query(
      'select sum(conversations) as conversations, sum(messages) as messages from erased_conversations',
    )
    const both = { ...runs, ...messages }
    const add = { ...erased, ...gone }
    return Object.fromEntries(Object.keys(both).map((name) => [name, Number(both[name] ?? 0) + Number(add[name] ?? 0)]))
  })
}

onEveryDatabase('erasing a user', (kind) => {
  test('leaves nothing in rows and files, all that others have, and the totals', async () => {
    const server = await startApp(kind)
    const { place } = server
    const others = await server.call('POST', '/conversations', {
      ...GENERAL,
      externalUserId: 'other',
      message: 'stays',
    })
    const ids = await leaveCanaries(server)
    const before = await totals(place)
    expect(await tablesWith(place, CANARY)).toEqual(
      expect.arrayContaining(['conversation', 'message', 'replaced_message', 'feedback', 'idempotency_claim']),
    )
    expect(await filesWith(place, CANARY)).not.toEqual([])

    const path = `/users/${USER}`
    expect((await server.call('DELETE', path)).status).toBe(204)
    expect(await tablesWith(place, CANARY)).toEqual([])
    expect((await filesWith(place, CANARY)) ?? []).toEqual([])
    for (const id of ids) {
      expectError(await server.call('GET', `/conversations/${id}`), 'not_found')
      expectError(await server.call('GET', `/conversations/${id}/runs`), 'not_found')
      expectError(await server.call('DELETE', `/conversations/${id}`), 'not_found')
      expectError(await server.call('PATCH', `/conversations/${id}/chat`, { message: 'Hello?' }), 'not_found')
      expect(await tablesWith(place, id)).toEqual([])
    }
    expectError(await server.call('GET', `${path}/export`), 'not_found')
    expect((await server.call('GET', `/conversations/user/${USER}`)).body).toEqual({
      data: [],
      continuationToken: null,
    })
    expect(await totals(place)).toEqual(before)
    expect(before['runs']).toBeGreaterThan(4)
    expect((await server.call('GET', `/conversations/${others.body['conversationId']}`)).body).toMatchObject({
      chatMessages: [{ content: 'stays' }, {}],
    })
    expect((await server.call('DELETE', path)).status).toBe(204)
    expect(await inspect(place, (query) => query('select * from erasure'))).toEqual([])
    await server.close()
  })

  test('goes for a single conversation too, deleted or not', async () => {
    const server = await startApp(kind)
    const [first = '', second = '', third = ''] = await leaveCanaries(server)
    expectError(await server.call('DELETE', `/conversations/${first}?erase=perhaps`), 'bad_request')
    for (const id of [first, third]) {
      expect((await server.call('DELETE', `/conversations/${id}?erase=true`)).status).toBe(204)
      expectError(await server.call('GET', `/conversations/${id}`), 'not_found')
      expectError(await server.call('DELETE', `/conversations/${id}?erase=true`), 'not_found')
      expect(await tablesWith(server.place, id)).toEqual([])
    }
    expect((await server.call('GET', `/conversations/${second}`)).status).toBe(200)
    expect((await server.call('DELETE', `/conversations/${second}?erase=false`)).status).toBe(204)
    expectError(await server.call('DELETE', `/conversations/${second}`), 'gone')
    await server.close()
  })

  test('takes what was archived, which an export has too', async () => {
    const server = await startApp(kind, { DRAMATIS_ARCHIVE_MESSAGES: '100' })
    const messages = Array.from({ length: 300 }, (_, i) => ({ role: i % 2 ? 'assistant' : 'user', content: `m${i}` }))
    const { body } = await server.call('POST', '/conversations', { ...GENERAL, externalUserId: USER, messages })
    const at = `/conversations/${body['conversationId']}`
    await server.app.archiver.round()
    expect((await server.call('GET', at)).body).toMatchObject({ areChatMessagesInBlob: true, chatMessagesCount: 300 })
    const blobs = () =>
      readdirSync(server.place.directory, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.gz'))
    expect(blobs()).not.toEqual([])
    for (const path of [`${at}/export`, `/users/${USER}/export`]) {
      const lines = (await (await server.open('GET', path)).text()).split('\n').slice(0, -1)
      const contents = lines.map((line) => JSON.parse(line) as Json).filter(({ type }) => type === 'message')
      expect(contents.map(({ content }) => content)).toEqual(messages.map(({ content }) => content))
    }
    expect((await server.call('DELETE', `/users/${USER}`)).status).toBe(204)
    expect(blobs()).toEqual([])
    expect(await tablesWith(server.place, body['conversationId'] as string)).toEqual([])
    await server.close()
  })

  test('while others go on writing to the same conversations leaves nothing of them', async () => {
    const server = await startApp(kind)
    const create = async () => {
      const { body } = await server.call('POST', '/conversations', {
        ...GENERAL,
        externalUserId: USER,
        message: CANARY,
      })
      const { conversationId, chatMessages } = body as { conversationId: string; chatMessages: Json[] }
      return [`/conversations/${conversationId}`, String(chatMessages[0]?.['messageId'])] as const
    }
    const all = await Promise.all(Array.from({ length: 8 }, create))
    let sent = 0
    // Each goes on until it hears that there is nothing any more.
    const writers = all.flatMap(([at, messageId]) =>
      [
        () => server.call('PATCH', `${at}/set-score/${messageId}`, { comments: CANARY }),
        () =>
          server.call(
            'PATCH',
            `${at}/set-metadata`,
            { metadata: { note: CANARY } },
            { 'idempotency-key': `${sent++}` },
          ),
        () => server.call('PATCH', `${at}/update`, {}, { 'idempotency-key': `${sent++}` }),
        () =>
          server.call('PATCH', `${at}/chat?onBusy=interrupt`, { message: CANARY }, { 'idempotency-key': `${sent++}` }),
      ].map(async (write) => {
        for (;;) {
          const { status } = await write()
          if (status === 404) return
          expect(status).toBeOneOf([200, 404, 409, 410, 429, 499, 503])
        }
      }),
    )
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect((await server.call('DELETE', `/users/${USER}`)).status).toBe(204)
    await Promise.all(writers)
    expect(await tablesWith(server.place, CANARY)).toEqual([])
    for (const { name, columns } of await tablesOf(server.place)) {
      if (!columns.includes('conversation_id') && !columns.includes('run_id')) continue
      expect([name, await inspect(server.place, (query) => query(`select * from ${name}`))]).toEqual([name, []])
    }
    await server.close()
  })

  test('whose files could not be cleaned is not over: the next request goes on', async () => {
    const server = await startApp(kind)
    await server.call('POST', '/conversations', { ...GENERAL, externalUserId: USER, systemMessage: CANARY })
    const { database, organizations } = server.app.services
    const scrub = async () => {
      throw new StorageError('the disk is full')
    }
    const failing = createEraseService({
      ...server.app.services,
      database: { ...database, scrub },
      turns: { stopAll: async () => {} },
      erasers: [],
    })
    const organizationId = (await organizations.first())?.id as string
    await expect(failing.eraseUser(organizationId, USER)).rejects.toThrow('the disk is full')
    const left = () => inspect(server.place, (query) => query('select * from erasure'))
    expect(await left()).toMatchObject([{ external_user_id: null, conversation_id: null }])
    expect((await server.call('DELETE', `/users/${USER}`)).status).toBe(204)
    expect(await left()).toEqual([])
    expect((await filesWith(server.place, CANARY)) ?? []).toEqual([])
    await server.close()
  })

  test('names every table that has something of a conversation', async () => {
    const server = await startApp(kind)
    const kept = [
      'migration',
      'migration_checksum',
      'organization',
      'api_key',
      'persona',
      'persona_version',
      'secret',
      'token_budget',
    ]
    const totalsOnly = ['erased_usage', 'erased_conversations', 'unclaimed_blob']
    const tables = (await tablesOf(server.place)).map(({ name }) => name)
    expect(tables.filter((name) => ![...kept, ...totalsOnly, ...ERASED_TABLES].includes(name))).toEqual([])
    await server.close()
  })

  test('stops what is running and waiting, and nothing is written afterwards', async () => {
    const server = await startApp(kind)
    const slow = { rehearsal: { text: `${CANARY} `.repeat(500), tokensPerSecond: 50 } }
    const started = await server.call('POST', '/conversations', {
      ...GENERAL,
      externalUserId: USER,
      configuration: slow,
    })
    const at = `/conversations/${started.body['conversationId']}`
    const stream = await server.open('PATCH', `${at}/chat-sse`, { message: 'Talk' })
    const reader = (stream.body as ReadableStream<Uint8Array>).pipeThrough(new TextDecoderStream()).getReader()
    expect((await reader.read()).value).toContain(CANARY)
    const waiting = server.call('PATCH', `${at}/chat?onBusy=wait`, { message: 'Then me' })
    await until(async () => (await inspect(server.place, (query) => query('select * from waiting_turn'))).length > 0)

    expect((await server.call('DELETE', `/users/${USER}`)).status).toBe(204)
    let rest = ''
    for (let piece = await reader.read(); !piece.done; piece = await reader.read()) rest += piece.value
    expect(rest).toContain('"finish_reason":"cancelled"')
    expect((await waiting).status).toBeGreaterThanOrEqual(400)
    await server.call('GET', '/personas')
    expect(await tablesWith(server.place, CANARY)).toEqual([])
    for (const table of ['conversation', 'message', 'run', 'run_chunk', 'running_turn', 'waiting_turn']) {
      expect(await inspect(server.place, (query) => query(`select * from ${table}`))).toEqual([])
    }
    await server.close()
  })

  test('takes the turn from a server that does not answer: what it writes later counts for nothing', async () => {
    const place = await kind.create()
    const server = await serve(place)
    const started = await server.call('POST', '/conversations', {
      ...GENERAL,
      externalUserId: USER,
      configuration: { rehearsal: { text: `${CANARY} `.repeat(2_000), tokensPerSecond: 100 } },
    })
    const conversationId = started.body['conversationId'] as string
    void server.call('PATCH', `/conversations/${conversationId}/chat`, { message: CANARY }).catch(() => {})
    const running = () => inspect(place, (query) => query('select * from running_turn'))
    await until(async () => (await running()).length > 0)
    // As on another node, where nothing can be stopped.
    const elsewhere = createEraseService({ ...server.app.services, turns: { stopAll: async () => {} }, erasers: [] })
    const { organizations } = server.app.services
    await elsewhere.eraseUser((await organizations.first())?.id as string, USER)
    await until(async () => server.logged.some(({ msg }) => msg === 'a turn was lost'))
    await server.close()
    expect(await tablesWith(place, CANARY)).toEqual([])
    expect(await running()).toEqual([])
    await place.remove()
  })

  test('that was under way when the server died is finished by the next one', async () => {
    const place = await kind.create()
    const dying = await startServer(place)
    const create = () =>
      dying.call('POST', '/conversations', { ...GENERAL, externalUserId: USER, systemMessage: CANARY })
    for (let i = 0; i < 6; i++) await Promise.all(Array.from({ length: 25 }, create))
    const count = async () =>
      Number((await inspect(place, (query) => query('select count(*) as n from conversation')))[0]?.['n'])
    expect(await count()).toBe(150)
    void dying.call('DELETE', `/users/${USER}`).catch(() => {})
    await until(async () => (await count()) < 150)
    dying.kill('SIGKILL')
    await dying.ended
    // PostgreSQL ends what the dead server had begun a moment later, and a transaction that is open keeps rows in files.
    const left = "select 1 from pg_stat_activity where datname = current_database() and application_name = 'dramatis'"
    if (kind.name === 'postgres') await until(async () => (await inspect(place, (query) => query(left))).length === 0)

    const server = await serve(place)
    await until(async () => (await inspect(place, (query) => query('select * from erasure'))).length === 0)
    expect(await count()).toBe(0)
    expect(await tablesWith(place, CANARY)).toEqual([])
    expect((await filesWith(place, CANARY)) ?? []).toEqual([])
    expect(await totals(place)).toMatchObject({ conversations: 150, messages: 150 })
    await server.close()
    await place.remove()
  })
})
