import { setTimeout as wait } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  createConversation,
  createPersona,
  expectError,
  type Json,
  parseSse,
  type RunningApp,
  startApp,
} from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'
import { type Conversation, isReplay, newKey, plain, readersOf } from '../support/idempotency.ts'

onEveryDatabase('a turn with an Idempotency-Key', (kind) => {
  let server: RunningApp
  let { read, runs, claims } = readersOf(undefined as never)
  beforeAll(async () => {
    server = await startApp(kind)
    ;({ read, runs, claims } = readersOf(server))
  })
  afterAll(() => server.close())

  test('takes one place in the line', async () => {
    const id = await createConversation(server, { text: 'a b c d', tokensPerSecond: 20 })
    const running = await server.open('POST', `/conversations/${id}/chat-sse`, { message: 'first' })
    const key = newKey()
    const send = () => server.call('POST', `/conversations/${id}/chat?onBusy=wait`, { message: 'second' }, key)
    const answers = await Promise.all([send(), send(), wait(50).then(send)])
    expect(new Set(answers.map(({ status, body }) => `${status} ${body['runId']}`)).size).toBe(1)
    await running.text()
    expect(await runs(id)).toHaveLength(2)
  })

  test('sends a message once, in whatever way it is sent again', async () => {
    const id = await createConversation(server)
    const key = newKey()
    const message = { message: 'Hi' }
    const first = await server.call('PATCH', `/conversations/${id}/chat`, message, key)
    expect(first.status).toBe(200)
    for (const [method, way] of [
      ['PATCH', 'chat'],
      ['POST', 'chat'],
      ['POST', 'continue-sync'],
    ] as const) {
      const again = await server.call(method, `/app/conversations/${id}/${way}`, message, key)
      expect(again.status).toBe(200)
      expect(plain(again.body)).toEqual(plain(first.body))
      expect(again.headers.get('x-dramatis-run-id')).toBe(first.body['runId'])
      expect(isReplay(again)).toBe(true)
    }
    const events = await server.call('GET', `/conversations/${id}/runs/${first.body['runId']}/events`)
    for (const way of ['chat-sse', 'continue-sse']) {
      expect((await server.call('POST', `/conversations/${id}/${way}`, message, key)).text).toBe(events.text)
    }
    for (const way of ['chat-http2', 'continue']) {
      const items = (await server.call<Json[]>('PATCH', `/conversations/${id}/${way}`, message, key)).body
      expect(items.at(-1)).toMatchObject({ runId: first.body['runId'], choice: { finish_reason: 'stop' } })
    }
    expect(await runs(id)).toHaveLength(1)
    const { chatMessages, totalTokens } = await read(id)
    expect(chatMessages.map(({ role }) => role)).toEqual(['system', 'assistant', 'user', 'assistant'])
    expect(totalTokens).toBe((first.body['usage'] as Json)['total_tokens'])
  })

  test('attaches to a stream that is under way, from its beginning', async () => {
    const id = await createConversation(server, { text: 'one two three four five six', tokensPerSecond: 20 })
    const key = newKey()
    const send = () => server.open('POST', `/conversations/${id}/chat-sse`, { message: 'Hi' }, key)
    const first = await send()
    await wait(120)
    const second = await send()
    const whole = server.call('POST', `/conversations/${id}/chat`, { message: 'Hi' }, key)
    const texts = await Promise.all([first.text(), second.text()])
    expect(texts[1]).toBe(texts[0])
    expect(parseSse(texts[0])[0]?.id).toBe(`${first.headers.get('x-dramatis-run-id')}:0`)
    expect((await whole).body['runId']).toBe(first.headers.get('x-dramatis-run-id'))
    expect(await (await send()).text()).toBe(texts[0])
    expect(await runs(id)).toHaveLength(1)
  })

  test('calls the model once for 200 requests at once', async () => {
    const id = await createConversation(server, { text: 'a b c', delayMs: 200 })
    const key = newKey()
    const sends = Array.from({ length: 200 }, (_, i) =>
      server.call('POST', `/conversations/${id}/${i % 2 ? 'chat' : 'chat-sse'}`, { message: 'Hi' }, key),
    )
    const answers = await Promise.all(sends)
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]))
    expect(new Set(answers.map(({ headers }) => headers.get('x-dramatis-run-id'))).size).toBe(1)
    const all = await runs(id)
    expect(all).toHaveLength(1)
    expect(all[0]?.attempts).toHaveLength(1)
    expect((await read(id)).totalTokens).toBe(all[0]?.usage.total_tokens)
  })

  test('makes one conversation of 50 requests at once, with a message and without', async () => {
    const persona = await createPersona(server, {}, { text: 'Hello.', delayMs: 50 })
    for (const message of [null, 'Hi']) {
      const key = newKey()
      const body = { personaId: persona['personaId'], externalUserId: `crowd ${kind.name} ${message}`, message }
      const many = Array.from({ length: 50 }, () => server.call('POST', '/conversations/persona', body, key))
      const answers = await Promise.all(many)
      expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]))
      expect(new Set(answers.map(({ text }) => text)).size).toBe(1)
      const list = await server.call<{ data: Json[] }>('GET', `/conversations/user/${body.externalUserId}`)
      expect(list.body.data).toHaveLength(1)
    }
  })

  test('replays a new conversation with its first reply, whole', async () => {
    const persona = await createPersona(server, {}, { text: 'One two.' })
    const key = newKey()
    const body = { personaId: persona['personaId'], message: 'Hi' }
    const first = await server.call<Conversation>('POST', '/conversations/persona', body, key)
    expect(first.status).toBe(200)
    expect(first.headers.get('x-dramatis-unresolved-variables')).toBe('name')
    await server.call('POST', `/conversations/${first.body.conversationId}/chat`, { message: 'More' })
    await server.call('DELETE', `/personas/${persona['personaId']}`)
    const again = await server.call<Conversation>('POST', '/conversations/persona', body, key)
    expect(again.text).toBe(first.text)
    expect(again.headers.get('x-dramatis-unresolved-variables')).toBe('name')
    expectError(await server.call('POST', '/conversations/persona', { ...body, stream: true }, key), 'conflict')
  })

  test('replays a new conversation as it was, also when its first exchange has been changed since', async () => {
    const { personaId } = await createPersona(server, {}, { text: 'one two' })
    const [key, body] = [newKey(), { personaId, message: 'Hi', replacements: { name: 'Ada' } }]
    const first = await server.call<Conversation>('POST', '/conversations/persona', body, key)
    const { conversationId: id, chatMessages } = first.body
    await server.call('POST', `/conversations/${id}/regenerate`)
    const question = chatMessages.at(-2)?.messageId
    await server.call('PATCH', `/conversations/${id}/messages/${question}`, { content: 'Bye' })
    const again = await server.call<Conversation>('POST', '/conversations/persona', body, key)
    expect(again.body.chatMessages).toEqual(chatMessages)
    expect(again.body['chatMessagesCount']).toBe(first.body['chatMessagesCount'])
  })

  test('replays a new conversation with its first reply, as a stream', async () => {
    const body = { aiSystem: 'rehearsal', model: 'rehearsal', systemMessage: 'Be kind.', message: 'Hi', stream: true }
    const slow = { ...body, configuration: { rehearsal: { text: 'One two three four.', tokensPerSecond: 20 } } }
    const key = newKey()
    const first = await server.open('POST', '/conversations', slow, key)
    const second = await server.open('POST', '/conversations', slow, key)
    const [text, same] = await Promise.all([first.text(), second.text()])
    expect(parseSse(text)[0]).toMatchObject({ event: 'conversation', id: null })
    expect(same).toBe(text)
    const { conversationId } = JSON.parse(parseSse(text)[0]?.data ?? '') as Conversation
    await server.call('PATCH', `/conversations/${conversationId}/update`, {
      conversationName: 'Later',
      conversationStatus: 'done',
      isActive: false,
    })
    expect((await server.call('POST', '/conversations', slow, key)).text).toBe(text)
    expect(await runs(conversationId)).toHaveLength(1)
  })

  test('regenerates and edits once', async () => {
    const id = await createConversation(server, { text: 'a b c', tokensPerSecond: 30 })
    await server.call('POST', `/conversations/${id}/chat`, { message: 'Hi' })
    const key = newKey()
    const regenerate = () => server.call('POST', `/conversations/${id}/regenerate`, undefined, key)
    const both = await Promise.all([regenerate(), regenerate(), regenerate()])
    expect(new Set(both.map(({ body }) => body['runId'])).size).toBe(1)
    expect(plain((await regenerate()).body)).toEqual(plain(both[0]?.body ?? {}))

    const message = (await read(id)).chatMessages.findLast(({ role }) => role === 'user')
    const path = `/conversations/${id}/messages/${message?.messageId}`
    const edit = () => server.call('PATCH', path, { content: 'Other' }, key)
    const edits = await Promise.all([edit(), edit(), edit()])
    expect(edits.map(({ status }) => status)).toEqual([200, 200, 200])
    expect(new Set(edits.map(({ body }) => body['runId'])).size).toBe(1)
    expect(plain((await edit()).body)).toEqual(plain(edits[0]?.body ?? {}))
    const stream = await server.call('PATCH', path, { content: 'Other' }, { ...key, accept: 'text/event-stream' })
    expect(stream.headers.get('x-dramatis-run-id')).toBe(edits[0]?.body['runId'])
    expect((await runs(id)).map((run) => run.kind)).toEqual(['edit', 'regenerate', 'send'])
  })

  test('gives the receipt of a cancelled run again', async () => {
    const id = await createConversation(server, { text: 'a b c d e f', tokensPerSecond: 20 })
    const stream = await server.open('POST', `/conversations/${id}/chat-sse`, { message: 'Hi' }, newKey())
    const cancel = `/conversations/${id}/runs/${stream.headers.get('x-dramatis-run-id')}/cancel`
    const key = newKey()
    const receipt = await server.call('POST', cancel, undefined, key)
    expect(receipt.body).toMatchObject({ status: 'cancelled' })
    const again = await server.call('POST', cancel, undefined, key)
    expect(again).toMatchObject({ status: 200, text: receipt.text })
    expect(isReplay(again)).toBe(true)
    await stream.text()
  })

  test('is free again after an error', async () => {
    const id = await createConversation(server, { text: 'a b c d', tokensPerSecond: 20 })
    const busy = await server.open('POST', `/conversations/${id}/chat-sse`, { message: 'first' })
    const key = newKey()
    const send = () => server.call('POST', `/conversations/${id}/chat`, { message: 'second' }, key)
    expectError(await send(), 'conflict')
    await busy.text()
    await server.call('PATCH', `/conversations/${id}/set-active`, { isActive: false })
    expectError(await send(), 'forbidden')
    await server.call('PATCH', `/conversations/${id}/set-active`, { isActive: true })
    expect((await send()).status).toBe(200)
    await server.call('PATCH', `/conversations/${id}/set-active`, { isActive: false })
    expect((await send()).status).toBe(200)
    expect(await runs(id)).toHaveLength(2)
  })

  test('is free again after a run without text, in whatever way that ended', async () => {
    const failing = await createConversation(server, { text: 'a b', failAtToken: 0, failure: 'error' })
    const key = newKey()
    const fail = () => server.call('POST', `/conversations/${failing}/chat`, { message: 'Hi' }, key)
    expectError(await fail(), 'provider_error')
    expectError(await fail(), 'provider_error')
    expect(await runs(failing)).toHaveLength(2)

    const slow = await createConversation(server, { text: 'a b', delayMs: 600_000 })
    const send = () => server.call('POST', `/conversations/${slow}/chat`, { message: 'Hi' }, key)
    for (const expected of [1, 2]) {
      const sent = send()
      await expect.poll(async () => (await runs(slow)).length).toBe(expected)
      const duplicate = send()
      await wait(50)
      await server.call('POST', `/conversations/${slow}/runs/${(await runs(slow))[0]?.runId}/cancel`)
      expectError(await sent, 'cancelled')
      expectError(await duplicate, 'cancelled')
    }
    expect(await runs(slow)).toHaveLength(2)
  })

  test('is kept when a run failed after some text', async () => {
    const id = await createConversation(server, { text: 'a b c', failAtToken: 2, failure: 'error' })
    const key = newKey()
    const send = (way: string) => server.call('POST', `/conversations/${id}/${way}`, { message: 'Hi' }, key)
    const first = await send('chat')
    const { runId } = expectError(first, 'provider_error')
    expect((await send('chat')).text).toBe(first.text)
    const events = await server.call('GET', `/conversations/${id}/runs/${runId}/events`)
    expect((await send('chat-sse')).text).toBe(events.text)
    expect(await runs(id)).toHaveLength(1)
  })

  test('costs nothing of what is not there: a run without one has no claim', async () => {
    const before = (await claims()).length
    const id = await createConversation(server)
    await server.call('POST', `/conversations/${id}/chat`, { message: 'Hi' })
    expect((await claims()).length).toBe(before)
  })
})
