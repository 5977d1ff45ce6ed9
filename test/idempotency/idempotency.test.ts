import { setTimeout as wait } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { KEPT_MS, sweepClaims } from '../../server/src/features/idempotency/idempotency-service.ts'
import {
  createConversation,
  createOrganization,
  createPersona,
  expectError,
  type Json,
  type RunningApp,
  startApp,
} from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'
import { type Conversation, isReplay, newKey, PERSONA, readersOf } from '../support/idempotency.ts'

onEveryDatabase('an Idempotency-Key', (kind) => {
  let server: RunningApp
  let { read, runs, claims } = readersOf(undefined as never)
  beforeAll(async () => {
    server = await startApp(kind)
    ;({ read, runs, claims } = readersOf(server))
  })
  afterAll(() => server.close())

  test('makes a persona once', async () => {
    const key = newKey()
    const body = { ...PERSONA, personaName: 'Once', personaMetadata: { a: 1, b: [2] } }
    const first = await server.call('POST', '/personas', body, key)
    expect(first.status).toBe(200)
    expect(isReplay(first)).toBe(false)
    const { personaName: _, ...other } = PERSONA
    const reordered = { personaMetadata: { b: [2], a: 1 }, personaName: 'Once', ...other }
    const again = await server.call('POST', '/api/personas/', reordered, key)
    expect(again).toMatchObject({ status: 200, text: first.text })
    expect(again.headers.get('content-type')).toBe(first.headers.get('content-type'))
    expect(again.headers.get('x-request-id')).not.toBe(first.headers.get('x-request-id'))
    expect(isReplay(again)).toBe(true)
    const list = await server.call<{ data: Json[] }>('GET', '/personas?q=Once')
    expect(list.body.data).toHaveLength(1)
  })

  test('says 409 for another body', async () => {
    const key = newKey()
    const body = { ...PERSONA, personaName: 'First' }
    await server.call('POST', '/personas', body, key)
    const other = await server.call('POST', '/personas', { ...body, personaName: 'Second' }, key)
    expect(expectError(other, 'conflict').message).toMatch(/another body/)
    const id = await createConversation(server)
    await server.call('PATCH', `/conversations/${id}/chat`, { message: 'one' }, key)
    for (const way of ['chat', 'continue-sse', 'chat-http2']) {
      expectError(await server.call('POST', `/conversations/${id}/${way}`, { message: 'two' }, key), 'conflict')
    }
    expect(await runs(id)).toHaveLength(1)
  })

  test('lets one of two bodies through that come at once', async () => {
    const id = await createConversation(server)
    const key = newKey()
    const send = (text: string) => server.call('POST', `/conversations/${id}/chat`, { message: text }, key)
    const name = (text: string) =>
      server.call('PATCH', `/conversations/${id}/set-conversation-name`, { conversationName: text }, key)
    for (const act of [send, name]) {
      const answers = await Promise.all(['one', 'two', 'one', 'two'].map(act))
      expect(answers.map(({ status }) => status).sort()).toEqual([200, 200, 409, 409])
    }
    expect(await runs(id)).toHaveLength(1)
  })

  test('counts for one operation on one thing', async () => {
    const key = newKey()
    const [a, b] = [await createConversation(server), await createConversation(server)]
    const name = { conversationName: 'Name' }
    const answers = [
      await server.call('PATCH', `/conversations/${a}/set-conversation-name`, name, key),
      await server.call('PATCH', `/conversations/${b}/set-conversation-name`, name, key),
      await server.call('PATCH', `/conversations/${a}/set-metadata`, { metadata: { a: 1 } }, key),
      await server.call('POST', `/conversations/${a}/chat`, { message: 'Hi' }, key),
      await server.call('POST', `/conversations/${b}/chat`, { message: 'Hi' }, key),
    ]
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200])
    expect(answers.map(isReplay)).toEqual([false, false, false, false, false])
    expect([await runs(a), await runs(b)].map(({ length }) => length)).toEqual([1, 1])
  })

  test('counts for one organization', async () => {
    const key = newKey()
    const body = { ...PERSONA, personaName: 'Mine' }
    const ours = await server.call('POST', '/personas', body, key)
    const other = { 'x-hl-api-key': (await createOrganization(server)).key }
    const theirs = await server.call('POST', '/personas', { ...body, personaName: 'Theirs' }, { ...key, ...other })
    expect(theirs.status).toBe(200)
    expect(theirs.body['personaId']).not.toBe(ours.body['personaId'])
  })

  test.each([
    ['set-active', { isActive: false }],
    ['set-metadata', { metadata: { a: 'b' } }],
    ['set-conversation-name', { conversationName: 'Ada' }],
    ['set-conversation-status', { conversationStatus: 'done' }],
    ['update', { conversationName: 'Bob', isActive: true }],
    ['set-score', { score: 3 }],
  ])('gives the answer of %s again, whatever has happened since', async (name, body) => {
    const id = await createConversation(server)
    const key = newKey()
    const first = await server.call('PATCH', `/conversations/${id}/${name}`, body, key)
    expect(first.status).toBe(200)
    await server.call('PATCH', `/conversations/${id}/update`, { conversationName: 'Later', isActive: true })
    const again = await server.call('PATCH', `/persona-conversations/${id.toUpperCase()}/${name}`, body, key)
    expect(again).toMatchObject({ status: 200, text: first.text })
    expect((await read(id))['conversationName']).toBe('Later')
  })

  test('gives feedback, adds and changes versions once', async () => {
    const id = await createConversation(server)
    const { chatMessages } = await read(id)
    const scored = `/conversations/${id}/set-score/${chatMessages.at(-1)?.messageId}`
    const key = newKey()
    const first = await server.call('PATCH', scored, { score: 5 }, key)
    expect((await server.call('PATCH', scored, { score: 5 }, key)).text).toBe(first.text)
    expect((await read(id)).chatMessages.at(-1)).toMatchObject({ feedbacks: [{ score: 5 }] })

    const { personaId } = await createPersona(server)
    const version = { personaText: 'Another', aiSystem: 'rehearsal', model: 'rehearsal' }
    const added = await server.call('POST', `/personas/${personaId}`, version, key)
    expect(added.status).toBe(200)
    expect((await server.call('POST', `/personas/${personaId}`, version, key)).text).toBe(added.text)
    const change = { personaText: 'A third' }
    const changed = await server.call('PATCH', `/personas/${personaId}`, change, key)
    expect((await server.call('PATCH', `/personas/${personaId}`, change, key)).text).toBe(changed.text)
    const one = `/personas/${personaId}/${added.body['personaVersionId']}`
    const off = await server.call('PATCH', one, { isActive: false }, key)
    expect((await server.call('PATCH', one, { isActive: false }, key)).text).toBe(off.text)
    const { personaVersions } = (await server.call('GET', `/personas/${personaId}`)).body
    expect(personaVersions).toHaveLength(3)
  })

  test('never gives the secret of an API key again', async () => {
    const key = newKey()
    const body = { name: 'once', scopes: ['personas:read'] }
    const first = await server.call('POST', '/api-keys', body, key)
    const again = await server.call('POST', '/api-keys', body, key)
    expect(first.body['key']).toMatch(/^dram_/)
    expect(again).toMatchObject({ status: 200, body: { ...first.body, key: null } })
    const secret = first.body['key'] as string
    expect((await claims()).filter(({ body }) => body?.includes(secret))).toEqual([])
    const list = await server.call<{ data: Json[] }>('GET', '/api-keys')
    expect(list.body.data.filter(({ name }) => name === 'once')).toHaveLength(1)
  })

  test('shares what is wrong with many requests at once', async () => {
    const id = await createConversation(server)
    const key = newKey()
    const many = Array.from({ length: 50 }, () =>
      server.call('PATCH', `/conversations/${id}/set-metadata`, { metadata: { a: 'x'.repeat(70_000) } }, key),
    )
    for (const answer of await Promise.all(many)) expectError(answer, 'bad_request')
  })

  test.each(['', 'é', 'x'.repeat(256)])('that is none is refused: %j', async (value) => {
    const answer = await server.call('POST', '/personas', {}, { 'idempotency-key': value })
    expectError(answer, 'bad_request')
    const persona = { ...PERSONA, personaName: 'n' }
    const error = expectError(
      await server.call('POST', '/personas', persona, { 'idempotency-key': value }),
      'bad_request',
    )
    expect(error.details[0]?.field).toBe('Idempotency-Key')
    expect((await server.call('GET', '/personas', undefined, { 'idempotency-key': value })).status).toBe(200)
  })

  test('that is long or odd is as good as any', async () => {
    for (const value of ['x'.repeat(255), '"8e03978e-40d5-43dd-bc93-6894a57f9324"', 'a b, c: d']) {
      const body = { ...PERSONA, personaName: 'Odd' }
      const key = { 'idempotency-key': value }
      const first = await server.call('POST', '/personas', body, key)
      expect((await server.call('POST', '/personas', body, key)).text).toBe(first.text)
    }
  })

  test('shows nothing of a conversation that is deleted', async () => {
    const id = await createConversation(server)
    const key = newKey()
    const name = { conversationName: 'Ada' }
    await server.call('PATCH', `/conversations/${id}/set-conversation-name`, name, key)
    await server.call('POST', `/conversations/${id}/chat`, { message: 'Hi' }, key)
    const start = { aiSystem: 'rehearsal', model: 'rehearsal', systemMessage: 'Be kind.' }
    const started = await server.call('POST', '/conversations', start, key)
    for (const each of [id, started.body['conversationId']]) await server.call('DELETE', `/conversations/${each}`)
    expectError(await server.call('PATCH', `/conversations/${id}/set-conversation-name`, name, key), 'gone')
    for (const way of ['chat', 'chat-sse', 'continue']) {
      expectError(await server.call('POST', `/conversations/${id}/${way}`, { message: 'Hi' }, key), 'gone')
    }
    expectError(await server.call('POST', '/conversations', start, key), 'gone')
  })

  test('shows no system message of a persona that has become secret', async () => {
    const persona = await createPersona(server, { personaText: 'Nobody may know this.' })
    const key = newKey()
    const start = { personaId: persona['personaId'] }
    const first = await server.call<Conversation>('POST', '/conversations/persona', start, key)
    expect(first.text).toContain('Nobody may know')
    await server.call('PATCH', `/personas/${persona['personaId']}`, { isSecret: true })
    const again = await server.call<Conversation>('POST', '/conversations/persona', start, key)
    expect(again.text).not.toContain('Nobody may know')
    const now = await read(first.body.conversationId)
    expect(again.body).toEqual(now)
  })

  test('says so when the request was carried out and its answer was lost', async () => {
    const { database } = server.app.services
    const key = newKey()
    const body = { ...PERSONA, personaName: 'Lost' }
    await server.call('POST', '/personas', body, key)
    const parameters = [Date.now() - 60_000, '%"Lost"%']
    const [time, like] = database.dialect.name === 'postgres' ? ['$1', '$2'] : ['?', '?']
    const sql = `update idempotency_claim set status = null, body = null, created_at = ${time} where body like ${like}`
    expect(await database.write([{ sql, parameters }])).toEqual([1])
    expect(expectError(await server.call('POST', '/personas', body, key), 'conflict').message).toMatch(/carried out/)
  })

  test('waits for the answer of a request that is under way', async () => {
    const { database } = server.app.services
    const key = newKey()
    const body = { ...PERSONA, personaName: 'Under way' }
    const first = await server.call('POST', '/personas', body, key)
    const [one, two] = database.dialect.name === 'postgres' ? ['$1', '$2'] : ['?', '?']
    const set = (status: number | null, was: string) => ({
      sql: `update idempotency_claim set status = ${one} where body like ${two}`,
      parameters: [status, was],
    })
    await database.write([set(null, '%"Under way"%')])
    const again = server.call('POST', '/personas', body, key)
    await wait(200)
    await database.write([set(200, '%"Under way"%')])
    expect((await again).text).toBe(first.text)
  })

  test('is swept after 24 hours', async () => {
    const { database } = server.app.services
    const key = newKey()
    const body = { ...PERSONA, personaName: 'Swept' }
    const first = await server.call('POST', '/personas', body, key)
    await sweepClaims({ database, clock: () => Date.now() + KEPT_MS - 60_000 })
    expect((await server.call('POST', '/personas', body, key)).text).toBe(first.text)
    const all = (await claims()).length
    expect(await sweepClaims({ database, clock: () => Date.now() + KEPT_MS + 1 })).toBe(all)
    expect(await claims()).toEqual([])
    const fresh = await server.call('POST', '/personas', { ...body, personaDescription: 'other' }, key)
    expect(fresh.status).toBe(200)
    expect(fresh.body['personaId']).not.toBe(first.body['personaId'])
  })
})
