import { setTimeout as wait } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { ADMIN_KEY, createConversation, expectError, type Json, parseSse, serve } from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'
import { type Conversation, newKey, PERSONA, plain, readersOf } from '../support/idempotency.ts'
import { startServer } from '../support/process.ts'

onEveryDatabase('an Idempotency-Key beyond one server', (kind) => {
  const persona = { ...PERSONA, personaName: 'Kept' }

  test('counts after a restart', async () => {
    const place = await kind.create()
    let server = await serve(place)
    const id = await createConversation(server)
    const key = newKey()
    const start = { aiSystem: 'rehearsal', model: 'rehearsal', message: 'Hi', stream: true }
    const made = await server.call('POST', '/personas', persona, key)
    const sent = await server.call('POST', `/conversations/${id}/chat`, { message: 'Hi' }, key)
    const streamed = await server.call('POST', '/conversations', start, key)
    const events = await server.call('GET', `/conversations/${id}/runs/${sent.body['runId']}/events`)
    await server.close()

    server = await serve(place)
    expect((await server.call('POST', '/personas', persona, key)).text).toBe(made.text)
    const again = await server.call('POST', `/conversations/${id}/chat`, { message: 'Hi' }, key)
    expect(plain(again.body)).toEqual(plain(sent.body))
    expect((await server.call('POST', `/conversations/${id}/chat-sse`, { message: 'Hi' }, key)).text).toBe(events.text)
    expect((await server.call('POST', '/conversations', start, key)).text).toBe(streamed.text)
    expect(await readersOf(server).runs(id)).toHaveLength(1)
    await server.close()
    await place.remove()
  })

  test('counts after a crash for a run with text, and is free for one without', async () => {
    const place = await kind.create()
    const doomed = await startServer(place, { DRAMATIS_LEASE_MS: '1000' })
    const call = async (path: string, body: unknown, headers: Record<string, string> = {}) =>
      fetch(doomed.url + path, {
        method: 'POST',
        headers: { 'x-hl-api-key': ADMIN_KEY, 'content-type': 'application/json', ...headers },
        body: JSON.stringify(body),
      })
    const start = async (rehearsal: Json) => {
      const body = { aiSystem: 'rehearsal', model: 'rehearsal', configuration: { rehearsal } }
      return ((await (await call('/conversations', body)).json()) as Conversation).conversationId
    }
    const key = newKey()
    const talking = await start({ text: 'one two three four '.repeat(1_000), tokensPerSecond: 4 })
    const silent = await start({ text: 'one', delayMs: 600_000 })
    const stream = await call(`/conversations/${talking}/chat-sse`, { message: 'Hi' }, key)
    const unanswered = call(`/conversations/${silent}/chat`, { message: 'Hi' }, key).catch(() => {})
    const reader = (stream.body as ReadableStream<Uint8Array>).getReader()
    const { value } = await reader.read()
    const seen = new TextDecoder().decode(value)
    await wait(100)
    doomed.kill('SIGKILL')
    await doomed.ended
    await unanswered
    await reader.cancel().catch(() => {})

    const server = await serve(place, { DRAMATIS_LEASE_MS: '1000' })
    const { runs } = readersOf(server)
    await expect.poll(async () => (await runs(talking))[0]?.status).toBe('interrupted')
    await expect.poll(async () => (await runs(silent))[0]?.status).toBe('interrupted')
    const again = await server.call('POST', `/conversations/${talking}/chat-sse`, { message: 'Hi' }, key)
    expect(again.text.startsWith(seen)).toBe(true)
    expect(parseSse(again.text).at(-2)?.data).toContain('"interrupted"')
    expect(await runs(talking)).toHaveLength(1)
    const anew = server.call('POST', `/conversations/${silent}/chat`, { message: 'Hi' }, key)
    await expect.poll(async () => (await runs(silent)).length).toBe(2)
    await server.call('POST', `/conversations/${silent}/runs/${(await runs(silent))[0]?.runId}/cancel`)
    expectError(await anew, 'cancelled')
    await server.close()
    await place.remove()
  })

  test('is not counted by the limit of requests when it was sent before', async () => {
    const place = await kind.create()
    const server = await serve(place, { DRAMATIS_REQUESTS_PER_MINUTE: '3' })
    const key = newKey()
    const first = await server.call('POST', '/personas', persona, key)
    expect(first.status).toBe(200)
    for (let i = 0; i < 10; i++) expect((await server.call('POST', '/personas', persona, key)).text).toBe(first.text)
    for (const status of [200, 200, 429]) expect((await server.call('GET', '/personas')).status).toBe(status)
    expect((await server.call('POST', '/personas', persona, key)).text).toBe(first.text)
    const fresh = newKey()
    expectError(await server.call('POST', '/personas', persona, fresh), 'rate_limited')
    await server.close()
    await place.remove()
  })

  // A SQLite file has one server.
  test.runIf(kind.name === 'postgres')('counts on another node, also while the run is under way', async () => {
    const place = await kind.create()
    const [a, b] = [await serve(place), await serve(place)]
    const id = await createConversation(a, { text: 'one two three four five six', tokensPerSecond: 20 })
    const key = newKey()
    const first = await a.open('POST', `/conversations/${id}/chat-sse`, { message: 'Hi' }, key)
    const [text, same, whole] = await Promise.all([
      first.text(),
      b.call('POST', `/conversations/${id}/chat-sse`, { message: 'Hi' }, key),
      b.call('POST', `/conversations/${id}/chat`, { message: 'Hi' }, key),
    ])
    expect(same.text).toBe(text)
    expect(whole.body['runId']).toBe(first.headers.get('x-dramatis-run-id'))

    for (let round = 0; round < 5; round++) {
      const each = newKey()
      const many = Array.from({ length: 40 }, (_, i) =>
        (i % 2 ? a : b).call('POST', `/conversations/${id}/chat`, { message: `${round}` }, each),
      )
      const made = Array.from({ length: 40 }, (_, i) => (i % 2 ? a : b).call('POST', '/personas', persona, each))
      expect(new Set((await Promise.all(many)).map(({ status, body }) => `${status} ${body['runId']}`)).size).toBe(1)
      expect(new Set((await Promise.all(made)).map(({ status, text }) => `${status} ${text}`)).size).toBe(1)
    }
    expect(await readersOf(a).runs(id)).toHaveLength(6)

    for (let round = 0; round < 5; round++) {
      const each = newKey()
      const { chatMessages } = await readersOf(a).read(id)
      const path = `/conversations/${id}/messages/${chatMessages.findLast(({ role }) => role === 'user')?.messageId}`
      const edits = [a, b, a, b].map((node) => node.call('PATCH', path, { content: `edit ${round}` }, each))
      expect(new Set((await Promise.all(edits)).map(({ status, body }) => `${status} ${body['runId']}`)).size).toBe(1)
    }
    expect(await readersOf(a).runs(id)).toHaveLength(11)
    await Promise.all([a.close(), b.close()])
    await place.remove()
  })
})
