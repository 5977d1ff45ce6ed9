import { afterAll, beforeAll, expect, test } from 'vitest'
import { expectError, type Json, type RunningApp, startApp } from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'
import { chatChunk, chatReply, type ProviderServer, startProviderServer } from '../support/provider-server.ts'
import { type RawAnswer, startRawMcpServer } from '../support/raw-mcp-server.ts'
import type { ToolServer } from '../support/tool-server.ts'
import { readConversation, startWithTools, type Whole } from '../support/tools.ts'

const good = { name: 'good', description: 'It is good.', inputSchema: { type: 'object', properties: {} } }
const odd = (more: Json): Json => ({ ...good, name: 'odd', ...more })
const withProperty = (schema: unknown): Json => ({ inputSchema: { type: 'object', properties: { a: schema } } })
/** More than can be written as JSON. */
const DEEP = `${'{"not":'.repeat(20_000)}{}${'}'.repeat(20_000)}`

onEveryDatabase('MCP servers that are odd', (kind) => {
  let server: RunningApp
  let provider: ProviderServer
  let mcp: ToolServer
  let answer: (method: string, params: Json) => RawAnswer
  let list = 0
  beforeAll(async () => {
    provider = await startProviderServer()
    mcp = await startRawMcpServer((method, params) => answer(method, params))
    server = await startApp(kind, {
      DRAMATIS_ALLOW_PRIVATE_HOSTS: '127.0.0.1',
      OPENAI_COMPATIBLE_BASE_URL: `${provider.url}/v1`,
      OPENAI_COMPATIBLE_MODEL: 'm',
    })
  })
  afterAll(async () => {
    await server.close()
    await Promise.all([provider.close(), mcp.close()])
  })

  /** Another for each test: lists are remembered by what is written. */
  const newTool = (): Json => ({
    type: 'mcp',
    url: mcp.url,
    tools: ['good', 'odd', 'nested'],
    timeoutMs: 5_000 + list++,
  })
  const chat = (id: string) => server.call<Whole>('POST', `/conversations/${id}/chat`, { message: 'Go' })

  async function offered(listed: unknown[] | ((params: Json) => Json)): Promise<Json[]> {
    answer = (_method, params) => ({
      result: typeof listed === 'function' ? listed(params) : { tools: listed },
      write: (json, response) =>
        response.setHeader('content-type', 'application/json').end(json.replaceAll('"DEEP"', DEEP)),
    })
    const id = await startWithTools(server, [newTool()], {}, { aiSystem: 'openai-compatible', model: 'm' })
    provider.script([chatReply(['Ok'])])
    const said = await chat(id)
    expect(said.status, said.text).toBe(200)
    const { tools = [] } = (provider.requests.at(-1)?.body ?? {}) as { tools?: { function: Json }[] }
    return tools.map((one) => one.function)
  }

  async function resultOf(called: RawAnswer): Promise<string | undefined> {
    answer = (method) => (method === 'tools/list' ? { result: { tools: [good] } } : called)
    const toolCalls = [[{ name: 'good', input: {} }]]
    const id = await startWithTools(server, [newTool()], { rehearsal: { text: 'Done.', toolCalls } })
    await chat(id)
    return (await readConversation(server, id)).chatMessages.find(({ role }) => role === 'tool')?.content
  }
  const warned = () => JSON.stringify(server.logged.slice(-20))

  test.each<[string, unknown, string]>([
    ['no name', odd({ name: null }), 'it has no name'],
    ['a number in its place', 7, 'it is no object'],
    ['a list as inputSchema', odd({ inputSchema: [] }), 'its inputSchema is no object'],
    [
      'an inputSchema of another type',
      odd({ inputSchema: { type: 'string' } }),
      'the type of its inputSchema is not object',
    ],
    ['a type that there is not', odd(withProperty({ type: 'any' })), '/properties/a/type'],
    [
      'a reference to nothing',
      odd(withProperty({ $ref: '#/$defs/none' })),
      'must refer to a schema within this schema',
    ],
    ['a schema without end', odd({ inputSchema: { not: 'DEEP' } }), 'levels'],
    ['a schema without end for its results', odd({ outputSchema: { not: 'DEEP' } }), 'levels'],
    ['only a task to be called by', odd({ execution: { taskSupport: 'required' } }), 'it can only be called as a task'],
    ['the name of another', good, 'there is another tool of this name'],
  ])('a tool with %s loses itself only, and the log says why', async (_what, tool, why) => {
    expect(
      (await offered([tool === good ? odd({}) : good, tool, ...(tool === good ? [good] : [])])).map(({ name }) => name),
    ).toEqual(tool === good ? ['odd', 'good'] : ['good'])
    expect(warned()).toContain(why)
  })

  test.each<[string, Json, Json]>([
    ['no inputSchema', { inputSchema: null }, { type: 'object', properties: {} }],
    ['an empty inputSchema', { inputSchema: {} }, { type: 'object', properties: {} }],
    ['no properties', { inputSchema: { type: 'object' } }, { type: 'object', properties: {} }],
    [
      'properties that are null',
      { inputSchema: { type: 'object', properties: null } },
      { type: 'object', properties: {} },
    ],
    [
      'keywords that are null',
      {
        description: null,
        annotations: null,
        title: null,
        outputSchema: null,
        execution: null,
        ...withProperty({ type: 'string', enum: null, default: null }),
      },
      { type: 'object', properties: { a: { type: 'string', default: null } } },
    ],
    [
      'a pattern of Python',
      withProperty({ type: 'string', pattern: '(?P<year>\\d+)\\Z' }),
      { type: 'object', properties: { a: { type: 'string' } } },
    ],
    [
      'results of a type that there is not',
      { outputSchema: { type: 'object', properties: { x: { type: 'any' } } } },
      { type: 'object', properties: {} },
    ],
  ])('a tool with %s is offered', async (_what, more, parameters) => {
    const tools = await offered([odd(more), good])
    expect(tools.map(({ name }) => name)).toEqual(['odd', 'good'])
    expect(tools[0]?.['parameters']).toEqual(parameters)
  })

  test.each<[string, (params: Json) => Json, string[]]>([
    ['null', () => ({ tools: [good], nextCursor: null }), ['good']],
    ['empty', () => ({ tools: [good], nextCursor: '' }), ['good']],
    ['always the same', ({ cursor }) => ({ tools: [cursor ? odd({}) : good], nextCursor: 'again' }), ['good', 'odd']],
    [
      'in a circle',
      ({ cursor }) => ({ tools: [cursor ? odd({}) : good], nextCursor: cursor === 'a' ? 'b' : 'a' }),
      ['good', 'odd'],
    ],
  ])('a list whose cursor is %s comes to its end', async (_what, page, names) => {
    expect((await offered(page)).map(({ name }) => name)).toEqual(names)
  })

  test('what JSON-RPC errors say is told word for word, also where the status is an error', async () => {
    const error = { code: -32_602, message: 'missing required parameter: customer_id' }
    expect(await resultOf({ error })).toBe(
      'Error: the MCP server has failed: it answered with the error -32602: missing required parameter: customer_id.',
    )
    const write: RawAnswer['write'] = (json, response) => response.writeHead(400).end(json)
    expect(await resultOf({ error, write })).toBe(
      'Error: the MCP server has failed: it answered with 400 and the error -32602: missing required parameter: customer_id.',
    )
    expect(await resultOf({ error: { code: -32_001, message: 'Slow down' } })).toContain('the error -32001: Slow down')
    answer = () => ({ error: { code: -32_603, message: 'the index is being built' } })
    const failed = expectError(await chat(await startWithTools(server, [newTool()], {})), 'unavailable')
    expect(failed.message).toBe(
      'an MCP server of this conversation cannot be used: it answered with the error -32603: the index is being built',
    )
  })

  test('resources are told with their address, their type and their text', async () => {
    const long = 'line\n'.repeat(1_000)
    const resource = (more: Json): Json => ({ type: 'resource', resource: { uri: 'files://a', ...more } })
    const link = { type: 'resource_link', uri: 'https://files.example.com/report-7.pdf', name: 'report-7' }
    const content = [
      { ...link, mimeType: 'application/pdf', size: 12, description: 'Of May.', title: null },
      resource({ mimeType: 'text/plain', text: long }),
      resource({ mimeType: 'image/png', blob: 'iVBORw0KGgo=' }),
      resource({ mimeType: 'application/json', blob: Buffer.from('{"a":1}').toString('base64') }),
      { type: 'image', mimeType: 'image/png', data: 'AAAA' },
      { type: 'text', text: null },
    ]
    expect(await resultOf({ result: { content, structuredContent: null } })).toBe(
      [
        '(link to a resource: https://files.example.com/report-7.pdf, report-7, application/pdf, 12 bytes, Of May.)',
        `(resource: files://a, text/plain)\n${long}`,
        '(resource: files://a, image/png; not shown)',
        '(resource: files://a, application/json)\n{"a":1}',
        '(image/png: not shown)',
      ].join('\n'),
    )
  })

  test('images are given to a model that takes them, as files behind the results', async () => {
    const png = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='
    const content = [
      // What it says of itself is not believed.
      { type: 'image', mimeType: 'image/jpeg', data: png },
      { type: 'resource', resource: { uri: 'files://a', mimeType: 'image/png', blob: png } },
      { type: 'image', mimeType: 'image/png', data: 'bm8gaW1hZ2UgYXQgYWxsLCBidXQgbG9uZyBlbm91Z2ggdG8gYmUgb25l' },
    ]
    answer = (method) => ({ result: method === 'tools/list' ? { tools: [good] } : { content } })
    const call = { index: 0, id: 'a', type: 'function', function: { name: 'good', arguments: '{}' } }
    const sentTo = async (attachments: string[]) => {
      provider.script([
        {
          headers: { 'content-type': 'text/event-stream' },
          pieces: [
            chatChunk([{ index: 0, delta: { role: 'assistant', tool_calls: [call] }, finish_reason: null }]),
            chatChunk([{ index: 0, delta: {}, finish_reason: 'tool_calls' }]),
            'data: [DONE]\n\n',
          ],
        },
        chatReply(['Ok']),
      ])
      const of = { aiSystem: 'openai-compatible', model: 'm' }
      expect((await chat(await startWithTools(server, [newTool()], { attachments }, of))).status).toBe(200)
      const asked = provider.requests.map(({ body }) => body as { messages: Json[]; tools?: unknown })
      return asked.findLast(({ tools }) => tools)?.messages.slice(-2)
    }
    const result = {
      role: 'tool',
      tool_call_id: expect.any(String),
      content:
        '(image/jpeg: given as a file)\n(resource: files://a, image/png; given as a file)\n(image/png: not shown)',
    }
    const image = { type: 'image_url', image_url: { url: `data:image/png;base64,${png}` } }
    const about = '(Files of the results above, in their order. No user has sent them.)'
    expect(await sentTo(['image'])).toMatchObject([
      result,
      { role: 'user', content: [image, image, { type: 'text', text: about }] },
    ])
    expect(await sentTo([])).toMatchObject([
      result,
      { role: 'user', content: expect.stringContaining('that you cannot see: "image-1.png" (image/png)') },
    ])
  })
})
