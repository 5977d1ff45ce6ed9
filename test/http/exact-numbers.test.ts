import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { parseExactly } from '../../server/src/lib/exact-json.ts'
import { createPersona, type Json, type RunningApp, startApp } from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'
import { chatChunk, chatReply, type ProviderServer, startProviderServer } from '../support/provider-server.ts'
import { startRawMcpServer } from '../support/raw-mcp-server.ts'
import { startToolServer, type ToolServer } from '../support/tool-server.ts'
import type { Whole } from '../support/tools.ts'

/** None of them can be a number of JavaScript. */
const LONG = ['9007199254740993', '-18446744073709551617', '0.1234567890123456789', '1e400', '3.00000000000000000001']
const LIST = `[${LONG.join(',')}]`
const long = (text: string) => parseExactly(text)
const GENERAL = { aiSystem: 'rehearsal', model: 'rehearsal' }

onEveryDatabase('numbers that JavaScript cannot hold', (kind) => {
  let server: RunningApp
  let provider: ProviderServer
  let service: ToolServer
  beforeAll(async () => {
    provider = await startProviderServer()
    service = await startToolServer()
    server = await startApp(kind, {
      OPENAI_COMPATIBLE_BASE_URL: `${provider.url}/v1`,
      DRAMATIS_ALLOW_PRIVATE_HOSTS: '127.0.0.1',
    })
  })
  afterAll(async () => {
    await server.close()
    await provider.close()
    await service.close()
  })
  beforeEach(() => provider.always(null))
  afterEach(() => {
    provider.requests.length = 0
    service.requests.length = 0
  })

  const idOf = (body: Json) => body['conversationId'] as string

  test('keep their digits in metadata, when it is read, listed, changed and exported', async () => {
    const made = await server.call('POST', '/conversations', {
      ...GENERAL,
      externalUserId: 'exact',
      metadata: { list: long(LIST), deep: { id: long(LONG[0] as string) } },
    })
    expect(made.status, made.text).toBe(200)
    const written = `{"list":${LIST},"deep":{"id":${LONG[0]}}}`
    expect(made.text).toContain(written)
    for (const path of [
      `/conversations/${idOf(made.body)}`,
      '/conversations/user/exact',
      `/conversations/${idOf(made.body)}/export`,
      '/users/exact/export',
    ]) {
      const response = await server.open('GET', path)
      expect([path, (await response.text()).includes(written)]).toEqual([path, true])
    }
    const set = await server.call('PATCH', `/conversations/${idOf(made.body)}/set-metadata`, {
      metadata: { id: long(LONG[1] as string), small: 1 },
    })
    expect([set.status, set.text.includes(`{"id":${LONG[1]},"small":1}`)]).toEqual([200, true])
  })

  test.each(LONG)('find a conversation by %s and by no neighbour', async (text) => {
    const made = await server.call('POST', '/conversations', { ...GENERAL, metadata: { order: long(text) } })
    const neighbour = JSON.parse(text) === null ? 0 : Number(text)
    await server.call('POST', '/conversations', { ...GENERAL, metadata: { order: neighbour } })
    const found = await server.call<{ data: Json[] }>(
      'GET',
      `/conversations?metadata.order=${encodeURIComponent(text)}`,
    )
    expect(found.body.data.map(idOf)).toEqual([idOf(made.body)])
  })

  test('print in templates, from replacements and from defaults', async () => {
    const { personaId } = await createPersona(server, {
      personaText: 'Order {{id}} of {{list}} costs {{price}}',
      personaGreeting: null,
      personaConfiguration: { variables: { price: { default: long(LONG[2] as string) } } },
    })
    const replacements = { id: long(LONG[0] as string), list: long(LIST) }
    const made = await server.call<{ chatMessages: Json[] }>('POST', '/conversations/persona', {
      personaId,
      replacements,
    })
    expect(made.body.chatMessages[0]?.['content']).toBe(`Order ${LONG[0]} of ${LIST} costs ${LONG[2]}`)
  })

  test('make requests that differ in nothing else different, and are in the answer that is given again', async () => {
    const send = (text: string) =>
      server.call(
        'POST',
        '/conversations',
        { ...GENERAL, metadata: { id: long(text) } },
        { 'idempotency-key': 'one order' },
      )
    const first = await send('9007199254740993')
    const again = await send('9007199254740993')
    expect([again.status, again.text]).toEqual([200, first.text])
    expect(again.headers.get('x-dramatis-replayed')).toBe('true')
    expect(again.text).toContain('"id":9007199254740993')
    expect((await send('9007199254740992')).status).toBe(409)
  })

  test('are numbers as ever where the server wants a number', async () => {
    const made = await server.call('POST', '/conversations', {
      ...GENERAL,
      configuration: { temperature: long('0.70000000000000000001'), mine: long(LONG[0] as string) },
      message: 'Hi',
    })
    expect([made.status, made.text.includes('"temperature":0.7,')]).toEqual([200, true])
    expect(made.text).toContain(`"mine":${LONG[0]}`)
    const wrong = await server.call('POST', '/conversations', { ...GENERAL, externalUserId: long(LONG[0] as string) })
    expect(wrong.status).toBe(400)
    const high = await server.call('POST', '/conversations', {
      ...GENERAL,
      configuration: { temperature: long(LONG[0] as string) },
    })
    expect(high.status).toBe(400)
  })

  test('reach a tool as the model wrote them, and the model as the tool wrote them', async () => {
    const inputSchema = { type: 'object', properties: { id: { type: 'integer' }, more: {} }, required: ['id'] }
    const mcp = await startRawMcpServer((method) => {
      if (method === 'tools/list') return { result: { tools: [{ name: 'look', description: 'o', inputSchema }] } }
      return { result: { content: [{ type: 'text', text: 'fine' }] } }
    })
    const tool = { type: 'http', description: 'o', inputSchema }
    const tools = [
      { ...tool, name: 'get', method: 'GET', url: `${service.url}/echo/{id}` },
      { ...tool, name: 'post', method: 'POST', url: `${service.url}/echo` },
      { type: 'mcp', url: mcp.url },
      { type: 'client', name: 'ask', description: 'o', inputSchema },
    ]
    const call = (name: string, index: number) => ({
      index,
      id: `call_${name}`,
      type: 'function',
      function: { name, arguments: `{"id":${LONG[0]},"more":${LIST}}` },
    })
    const reply = (names: string[]) => ({
      headers: { 'content-type': 'text/event-stream' },
      pieces: [
        chatChunk([{ index: 0, delta: { role: 'assistant', tool_calls: names.map(call) }, finish_reason: null }]),
        chatChunk([{ index: 0, delta: {}, finish_reason: 'tool_calls' }]),
        'data: [DONE]\n\n',
      ],
    })
    provider.script([reply(['get', 'post', 'look']), reply(['ask']), chatReply(['Done.']), chatReply(['Again.'])])
    const made = await server.call('POST', '/conversations', {
      aiSystem: 'openai-compatible',
      model: 'm',
      configuration: { tools },
    })
    const id = idOf(made.body)
    const asked = await server.call<Whole>('POST', `/conversations/${id}/chat`, { message: 'My order, please' })
    expect([asked.status, asked.text.includes(`"input":{"id":${LONG[0]},"more":${LIST}}`)]).toEqual([200, true])
    const [got, posted] = service.requests
    expect(decodeURIComponent(got?.path ?? '')).toBe(`/echo/${LONG[0]}?${LONG.map((one) => `more=${one}`).join('&')}`)
    expect(posted?.body).toBe(`{"id":${LONG[0]},"more":${LIST}}`)
    const { toolCallId } = asked.body.choices[0]?.message.toolCalls?.[0] ?? {}
    const results = { results: [{ toolCallId, content: { found: long(LIST) } }] }
    const answered = await server.call('POST', `/conversations/${id}/tool-results`, results)
    expect([answered.status, answered.text]).toEqual([200, expect.stringContaining('Done.')])
    await server.call('POST', `/conversations/${id}/chat`, { message: 'Thanks' })
    const sent = provider.requests.at(-1)?.body as { messages: Json[] }
    const calls = sent.messages.flatMap((message) => (message['tool_calls'] ?? []) as { function: Json }[])
    expect(calls.map((one) => one.function['arguments'])).toEqual(Array(4).fill(`{"id":${LONG[0]},"more":${LIST}}`))
    expect(sent.messages.map(({ content }) => content)).toContain(`{"found":${LIST}}`)
    const exported = await server.open('GET', `/conversations/${id}/export`)
    expect(await exported.text()).toContain(`"input":{"id":${LONG[0]},"more":${LIST}}`)
    const looked = mcp.requests.map(({ body }) => body).find((body) => body.includes('tools/call'))
    expect(looked).toContain(`"arguments":{"id":${LONG[0]},"more":${LIST}}`)
    await mcp.close()
  })
})
