import { Server } from '@modelcontextprotocol/sdk/server/index.js'
import { CallToolRequestSchema, ListToolsRequestSchema } from '@modelcontextprotocol/sdk/types.js'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createOrganization, createPersona, expectError, type Json, type RunningApp, startApp } from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'
import { type McpHttpServer, startMcpServer } from '../support/mcp-server.ts'
import { chatReply, type ProviderServer, startProviderServer } from '../support/provider-server.ts'
import { startToolServer, type ToolServer } from '../support/tool-server.ts'
import { readConversation, startWithTools, type Whole } from '../support/tools.ts'

const SLOW_PATTERN = '^(a+)+$'
const SLOW_TEXT = `${'a'.repeat(40)}!`

/** What a caller with any key could write, and where it is wrong. */
const ATTACKS: [string, Json, string][] = [
  ['$async', { $async: true }, '.$async'],
  ['$async in a property', { properties: { a: { anyOf: [{ $async: true }] } } }, '.properties.a.anyOf.0.$async'],
  [
    '$async behind a reference to a value',
    { properties: { a: { $ref: '#/properties/b/enum/0' }, b: { enum: [{ $async: true }] } } },
    '.properties.a.$ref.$async',
  ],
  ['a reference to another server', { properties: { a: { $ref: 'http://127.0.0.1:9/a.json' } } }, '.properties.a.$ref'],
  ['a base for references', { properties: { a: { $id: 'http://127.0.0.1:9/' } } }, '.properties.a.$id'],
  [
    '12,000 properties',
    { properties: Object.fromEntries(Array.from({ length: 12_000 }, (_, i) => [`p${i}`, {}])) },
    '',
  ],
  ['a long pattern', { properties: { a: { pattern: `^(${'a?'.repeat(600)})$` } } }, '.properties.a.pattern'],
]

onEveryDatabase('schemas from outside', (kind) => {
  let server: RunningApp
  let provider: ProviderServer
  let service: ToolServer
  let mcp: McpHttpServer
  beforeAll(async () => {
    provider = await startProviderServer()
    service = await startToolServer()
    mcp = await startMcpServer(createOddServer)
    server = await startApp(kind, {
      DRAMATIS_ALLOW_PRIVATE_HOSTS: '127.0.0.1',
      OPENAI_COMPATIBLE_BASE_URL: `${provider.url}/v1`,
      OPENAI_COMPATIBLE_MODEL: 'm',
    })
  })
  afterAll(async () => {
    await server.close()
    await Promise.all([provider.close(), service.close(), mcp.close()])
  })

  const toolWith = (schema: Json) => ({
    type: 'client',
    name: 't',
    description: 'd',
    inputSchema: { type: 'object', ...schema },
  })
  const formatWith = (schema: Json) => ({ type: 'json_schema', json_schema: { name: 'f', schema } })

  describe.each(ATTACKS)('with %s', (_name, schema, place) => {
    test('are refused for a tool of a persona, a version and a conversation', async () => {
      const persona = await createPersona(server)
      const tools = [
        { type: 'client', name: 'good', description: 'd', inputSchema: { type: 'object' } },
        toolWith(schema),
      ]
      const of = { aiSystem: 'rehearsal', model: 'rehearsal' }
      const field = `tools.1.inputSchema${place}`
      for (const [method, path, body] of [
        ['POST', '/personas', { personaName: 'n', personaDescription: 'd', ...of, personaConfiguration: { tools } }],
        ['POST', `/personas/${persona['personaId']}`, { ...of, personaConfiguration: { tools } }],
        ['PATCH', `/personas/${persona['personaId']}`, { personaConfiguration: { tools } }],
        ['POST', '/conversations', { ...of, configuration: { tools } }],
      ] as const) {
        const error = expectError(await server.call(method, path, body), 'bad_request', `${method} ${path}`)
        const name = path === '/conversations' ? 'configuration' : 'personaConfiguration'
        expect(error.details[0]?.field).toBe(`${name}.${field}`)
      }
    })

    test('are refused for the form of a reply', async () => {
      const of = { aiSystem: 'rehearsal', model: 'rehearsal' }
      const answer = await server.call('POST', '/conversations', {
        ...of,
        configuration: { responseFormat: formatWith(schema) },
      })
      expect(expectError(answer, 'bad_request').details[0]?.field).toBe(
        `configuration.responseFormat.json_schema.schema${place}`,
      )
    })
  })

  test('that are no schemas are refused, and the answer says where', async () => {
    const answer = await server.call('POST', '/conversations', {
      aiSystem: 'rehearsal',
      model: 'rehearsal',
      configuration: {
        tools: [toolWith({}), toolWith({ properties: { a: { type: 'any' } } })].map((t, i) => ({
          ...t,
          name: `t${i}`,
        })),
      },
    })
    const { details } = expectError(answer, 'bad_request')
    expect(details).toEqual([
      { field: 'configuration.tools.1.inputSchema', issue: expect.stringContaining('/properties/a/type') },
    ])
  })

  test('with what others write beside the standard are taken, kept and sent as they are', async () => {
    const inputSchema = {
      $schema: 'http://json-schema.org/draft-04/schema#',
      $id: 'https://example.com/order',
      type: 'object',
      'x-origin': { $async: true },
      example: { city: 'Bern' },
      properties: {
        city: { type: 'string', nullable: true, example: 'Bern', 'x-order': 1, format: 'city', xml: { name: 'c' } },
        count: { type: 'number', minimum: 0, exclusiveMinimum: true },
        order: { $ref: '#/components/schemas/Order' },
      },
      components: { schemas: { Order: { type: 'array', items: [{ type: 'string' }], additionalItems: false } } },
    }
    const tool = {
      type: 'http',
      name: 'get',
      description: 'd',
      method: 'POST',
      url: `${service.url}/echo`,
      inputSchema,
    }
    const persona = await createPersona(server, {
      aiSystem: 'openai-compatible',
      model: 'm',
      personaConfiguration: { tools: [tool] },
    })
    expect((persona['personaConfiguration'] as { tools: Json[] }).tools[0]?.['inputSchema']).toEqual(inputSchema)
    const started = await server.call('POST', '/conversations/persona', { personaId: persona['personaId'] })
    provider.script([chatReply(['Ok'])])
    await server.call('POST', `/conversations/${started.body['conversationId']}/chat`, { message: 'Go' })
    const { tools } = (provider.requests.at(-1)?.body ?? { tools: [] }) as { tools: { function: Json }[] }
    expect(tools[0]?.function['parameters']).toEqual(inputSchema)

    const fits = { city: null, count: 1, order: ['a'] }
    const results = await resultsOf(tool, fits, { ...fits, count: 0 }, { ...fits, order: ['a', 'b'] })
    expect(results[0]).not.toContain('Error')
    expect(results[1]).toBe('Error: the input is not as it should be: input/count must be > 0.')
    expect(results[2]).toMatch(/^Error: the input is not as it should be: input\/order must NOT have more than 1 items/)
  })

  async function resultsOf(tool: Json, ...inputs: Json[]): Promise<string[]> {
    const name = tool['type'] === 'mcp' ? null : tool['name']
    const toolCalls = [inputs.map((input) => (name === null ? input : { name, input }))]
    const id = await startWithTools(server, [tool], { rehearsal: { text: 'Done.', toolCalls } })
    const answer = await server.call<Whole>('POST', `/conversations/${id}/chat`, { message: 'Go' })
    expect(answer.body.choices?.[0]?.message.content, answer.text).toBe('Done.')
    const { chatMessages } = await readConversation(server, id)
    return chatMessages.filter(({ role }) => role === 'tool').map(({ content }) => content)
  }

  describe.each<[string, Json, unknown]>([
    ['a pattern that goes back', { type: 'string', pattern: SLOW_PATTERN }, SLOW_TEXT],
    ['a large list that is to have no item twice', { uniqueItems: true }, manyObjects(30_000)],
  ])('that are slow to check (%s)', (what, schema, value) => {
    // The slow call is stopped after two seconds, in which a busy machine may not get to the others.
    test('stop their own call, and everybody else is answered meanwhile', { retry: 3 }, async () => {
      const inputSchema = { type: 'object', properties: { a: schema } }
      const tool = {
        type: 'http',
        name: 't',
        description: what,
        method: 'POST',
        url: `${service.url}/echo`,
        inputSchema,
      }
      const toolCalls = [[{ name: 't', input: { a: value } }]]
      const id = await startWithTools(server, [tool], { rehearsal: { text: 'Done.', toolCalls } })
      const other = await createOrganization(server)

      const response = await server.open('POST', `/conversations/${id}/chat-sse`, { message: 'Go' })
      const reader = (response.body as ReadableStream<Uint8Array>).pipeThrough(new TextDecoderStream()).getReader()
      let text = ''
      const readUntil = async (pattern: RegExp) => {
        while (!pattern.test(text)) {
          const { value: more, done } = await reader.read()
          if (done) throw new Error(`ended without ${pattern}: ${text.slice(-500)}`)
          text += more
        }
      }
      await readUntil(/"toolCalls"/)
      let hasResult = false
      const ended = readUntil(/takes too long to check/).then(() => {
        hasResult = true
      })
      // Another organization reads and has a schema compiled before the first has its result.
      const headers = { 'x-hl-api-key': other.key }
      expect((await server.call('GET', '/personas', undefined, headers)).status).toBe(200)
      const written = { aiSystem: 'rehearsal', model: 'r', configuration: { tools: [toolWith({})] } }
      expect((await server.call('POST', '/conversations', written, headers)).status).toBe(200)
      expect(hasResult).toBe(false)
      await ended
      await readUntil(/\[DONE\]/)
      expect(text).toContain('Error: the input is not as it should be: input takes too long to check.')
      expect(text).toContain('Done.')
    })
  })

  describe('of an MCP server', () => {
    const offered = async (): Promise<string[]> => {
      const tool = { type: 'mcp', url: mcp.url }
      const id = await startWithTools(server, [tool], {}, { aiSystem: 'openai-compatible', model: 'm' })
      provider.script([chatReply(['Ok'])])
      await server.call('POST', `/conversations/${id}/chat`, { message: 'Go' })
      const { tools } = (provider.requests.at(-1)?.body ?? {}) as { tools: { function: { name: string } }[] }
      return tools.map((one) => one.function.name)
    }

    test('cost the tool whose input they are about, and the log says why', async () => {
      expect(await offered()).toEqual(['fits', 'misfits', 'promises', 'odd-output', 'slow-output'])
      const about = server.logged.filter(({ tool }) => tool !== undefined)
      expect(about).toContainEqual(
        expect.objectContaining({ tool: 'odd-input', path: 'properties.a.$async', issue: 'is not possible' }),
      )
      expect(about).toContainEqual(
        expect.objectContaining({ tool: 'odd-output', path: '$async', issue: 'is not possible' }),
      )
      expect(new Set(about.map(({ tool }) => tool))).toEqual(new Set(['odd-input', 'odd-output']))
    })

    test('are what results have to be like, however slow it is to find out', async () => {
      const names = ['fits', 'misfits', 'promises', 'odd-output', 'slow-output']
      const results = await resultsOf({ type: 'mcp', url: mcp.url }, ...names.map((name) => ({ name, input: {} })))
      expect(results).toEqual([
        'text of fits',
        'Error: the result is not as it was promised: result/n must be number.',
        'Error: the result lacks the structured content that was promised.',
        'text of odd-output',
        'Error: the result is not as it was promised: result takes too long to check.',
      ])
    })
  })
})

function manyObjects(count: number): Json[] {
  return Array.from({ length: count }, (_, i) => ({ i }))
}

/** What the official SDK would compile in the process that lists these tools. */
function createOddServer(): Server {
  const inputSchema = { type: 'object' as const }
  const number = { type: 'object' as const, properties: { n: { type: 'number' } } }
  const tools = [
    { name: 'fits', inputSchema, outputSchema: number },
    { name: 'misfits', inputSchema, outputSchema: number },
    { name: 'promises', inputSchema, outputSchema: number },
    { name: 'odd-input', inputSchema: { ...inputSchema, properties: { a: { $async: true } } } },
    { name: 'odd-output', inputSchema, outputSchema: { ...number, $async: true } },
    { name: 'slow-output', inputSchema, outputSchema: { ...number, properties: { s: { pattern: SLOW_PATTERN } } } },
  ]
  const structured: Record<string, Json> = {
    fits: { n: 1 },
    misfits: { n: 'one' },
    'odd-output': { n: 'one' },
    'slow-output': { s: SLOW_TEXT },
  }
  const server = new Server({ name: 'odd', version: '1.0.0' }, { capabilities: { tools: {} } })
  server.setRequestHandler(ListToolsRequestSchema, async () => ({ tools }))
  server.setRequestHandler(CallToolRequestSchema, async ({ params: { name } }) => ({
    content: [{ type: 'text', text: `text of ${name}` }],
    ...(structured[name] && { structuredContent: structured[name] }),
  }))
  return server
}
