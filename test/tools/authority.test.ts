import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { MOST_BYTES_OF_ANSWER } from '../../server/src/features/tools/mcp/mcp-transport.ts'
import { MOST_OUTGOING } from '../../server/src/features/tools/outgoing.ts'
import { SCOPES } from '../../server/src/http/requests/caller.ts'
import { tools } from '../../server/src/storage/migrations/0002-tools.ts'
import { createKey, createPersona, expectError, type Json, type RunningApp, startApp } from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'
import { chatReply, type ProviderServer, startProviderServer } from '../support/provider-server.ts'
import { type RawAnswer, startRawMcpServer } from '../support/raw-mcp-server.ts'
import { startToolServer, type ToolServer } from '../support/tool-server.ts'
import { readConversation, startWithTools, type Whole } from '../support/tools.ts'

const REHEARSAL = { aiSystem: 'rehearsal', model: 'rehearsal' }
const STUBBORN = join(import.meta.dirname, '../support/mcp-stubborn.ts')
const inputSchema = { type: 'object', properties: { id: { type: 'string' } } }
const LOW = ['conversations:read', 'conversations:write'] as const

onEveryDatabase('who may define tools', (kind) => {
  let server: RunningApp
  let service: ToolServer
  let provider: ProviderServer
  beforeAll(async () => {
    service = await startToolServer()
    provider = await startProviderServer()
    server = await startApp(kind, {
      DRAMATIS_ALLOW_PRIVATE_HOSTS: '127.0.0.1',
      DRAMATIS_MCP_COMMANDS: JSON.stringify({
        mcpServers: { stubborn: { type: 'stdio', command: process.execPath, args: [STUBBORN] } },
      }),
      DRAMATIS_MCP_PROCESSES: '2',
      OPENAI_COMPATIBLE_BASE_URL: `${provider.url}/v1`,
      OPENAI_COMPATIBLE_MODEL: 'm',
    })
  })
  afterAll(async () => {
    await server.close()
    await service.close()
    await provider.close()
  })
  beforeEach(() => {
    service.requests.length = 0
  })

  const http = (more: Json = {}): Json => ({
    type: 'http',
    name: 'ask',
    description: 'Asks.',
    inputSchema,
    method: 'GET',
    url: `${service.url}/echo/{id}`,
    ...more,
  })
  const client: Json = { type: 'client', name: 'mine', description: 'Mine.', inputSchema }
  const script = (name: string, times = 1) => ({
    rehearsal: { text: 'Done.', toolCalls: [new Array(times).fill({ name, input: { id: 'a' } })] },
  })
  const chat = (id: string) => server.call<Whole>('POST', `/conversations/${id}/chat`, { message: 'Go' })
  const resultsOf = async (id: string) =>
    (await readConversation(server, id)).chatMessages
      .filter(({ role }) => role === 'tool')
      .map(({ content }) => content)
  async function resultOf(tool: Json, name: string): Promise<string> {
    const id = await startWithTools(server, [tool], script(name))
    const answer = await chat(id)
    expect(answer.body.choices?.[0]?.message.content, answer.text).toBe('Done.')
    return (await resultsOf(id))[0] ?? ''
  }

  describe('in the configuration of a conversation', () => {
    const reachingOut: [string, () => Json][] = [
      ['an HTTP tool', () => http()],
      ['an MCP server with a URL', () => ({ type: 'mcp', url: service.url })],
      ['an MCP server that is started', () => ({ type: 'mcp', preset: 'stubborn' })],
    ]

    test.each(reachingOut)('%s needs the scope tools:write', async (_what, make) => {
      const count = async () =>
        (await server.call<{ data: Json[] }>('GET', '/conversations?pageSize=100')).body.data.length
      const before = await count()
      const everythingElse = SCOPES.filter((scope) => scope !== 'tools:write')
      for (const scopes of [LOW, [...LOW, 'personas:write'] as const, everythingElse]) {
        const headers = await createKey(server, scopes)
        for (const path of ['/conversations', '/api/persona-conversations', '/app/conversations?onBusy=wait']) {
          for (const more of [{}, { message: 'Go' }, { message: 'Go', stream: true }]) {
            const configuration = { tools: [client, make()], ...script('ask') }
            const refused = await server.call('POST', path, { ...REHEARSAL, configuration, ...more }, headers)
            const error = expectError(refused, 'forbidden', path)
            expect(error.message).toContain('tools:write')
            expect(error.details[0]?.field).toBe('configuration.tools.1')
          }
        }
      }
      expect(service.requests).toEqual([])
      expect(await count()).toBe(before)
      const may = await createKey(server, ['conversations:write', 'tools:write'])
      const body = { ...REHEARSAL, configuration: { tools: [make()] } }
      expect((await server.call('POST', '/conversations', body, may)).status).toBe(200)
    })

    test('a tool of the client needs nothing more', async () => {
      const headers = await createKey(server, LOW)
      const body = { ...REHEARSAL, configuration: { tools: [client], ...script('mine') }, message: 'Go' }
      const started = await server.call('POST', '/conversations', body, headers)
      expect(started.status, started.text).toBe(200)
    })

    test('times are no longer than those of the server', async () => {
      const timesOf = (timeouts: Json) =>
        server.call('POST', '/conversations', { ...REHEARSAL, configuration: { timeouts } })
      const longest = { firstTokenMs: 60_000, betweenTokensMs: 30_000, totalMs: 600_000 }
      expect((await timesOf(longest)).status).toBe(200)
      for (const [name, most] of Object.entries(longest)) {
        const error = expectError(await timesOf({ [name]: most + 1 }), 'bad_request')
        expect(error.details[0]?.field).toBe(`configuration.timeouts.${name}`)
      }
      const personaConfiguration = { timeouts: { totalMs: 3_600_000 } }
      expect((await createPersona(server, { personaConfiguration }))['personaConfiguration']).toEqual(
        personaConfiguration,
      )
    })
  })

  test('a persona may have them, and then any key that may talk to it makes it call them', async () => {
    const writer = await createKey(server, ['personas:write'])
    const persona = await server.call(
      'POST',
      '/personas',
      {
        personaName: 'P',
        personaDescription: 'D',
        ...REHEARSAL,
        personaConfiguration: { tools: [http()], ...script('ask') },
      },
      writer,
    )
    const talker = await createKey(server, LOW)
    const body = { personaId: persona.body['personaId'], message: 'Go' }
    const talk = await server.call('POST', '/conversations/persona', body, talker)
    expect(talk.status, talk.text).toBe(200)
    expect(service.requests.map(({ path }) => path)).toEqual(['/echo/a'])
    expectError(await server.call('POST', '/personas', {}, talker), 'forbidden')
  })

  test('what a tool may name is checked when it is written', async () => {
    const issueOf = async (tool: Json) => {
      const answer = await server.call('POST', '/conversations', { ...REHEARSAL, configuration: { tools: [tool] } })
      const [detail] = expectError(answer, 'bad_request').details
      return `${detail?.field.replace('configuration.tools', '')} ${detail?.issue}`
    }
    const mcp = (more: Json) => issueOf({ type: 'mcp', ...more })
    expect(await mcp({ command: 'node', args: ['-e', '1'] })).toMatch(/^\.0\.command .*DRAMATIS_MCP_COMMANDS/)
    expect(await mcp({ preset: 'stubborn', args: ['-e', '1'] })).toMatch(/^\.0\.args .*DRAMATIS_MCP_COMMANDS/)
    expect(await mcp({})).toMatch(/^\.0 must have either a url or a preset/)
    expect(await mcp({ preset: 'stubborn', headers: { a: 'b' } })).toMatch(/^\.0\.headers /)
    expect(await mcp({ preset: '../x' })).toMatch(/^\.0\.preset /)
    // What is behind three slashes would be the host, and the model fills it in.
    expect(await issueOf(http({ url: 'https:///{id}/' }))).toMatch(/^\.0\.url must name a host/)
    const headers = Object.fromEntries(new Array(33).fill(0).map((_, i) => [`x-${i}`, 'a']))
    expect(await issueOf(http({ headers }))).toMatch(/^\.0\.headers /)
    expect(await issueOf(http({ outputSchema: { type: 'string' } }))).toMatch(/^\.0\.outputSchema\.type /)
    const tools = new Array(9).fill({ type: 'mcp', url: 'https://mcp.example.com/' })
    const many = await server.call('POST', '/conversations', { ...REHEARSAL, configuration: { tools } })
    expect(expectError(many, 'bad_request').details[0]).toMatchObject({ field: 'configuration.tools' })
  })

  test('a configuration from before there were presets says at the turn what to do', async () => {
    const id = await startWithTools(server, [], {})
    const { database } = server.app.services
    const configuration = JSON.stringify({ tools: [{ type: 'mcp', command: process.execPath, args: ['-e', '1'] }] })
    const { sql } = database.dialect.builder
      .updateTable('conversation')
      .set({ configuration })
      .where('id', '=', id)
      .compile()
    await database.write([{ sql, parameters: [configuration, id] }])
    const error = expectError(await chat(id), 'unprocessable_entity')
    expect(error.message).toContain('DRAMATIS_MCP_COMMANDS')
    expect(error.message).toContain('preset')
  })

  describe('one request', () => {
    const steps = (times: number, calls: number) => ({
      rehearsal: {
        text: 'Done.',
        toolCalls: new Array(times).fill(new Array(calls).fill({ name: 'ask', input: { id: 'a' } })),
      },
      maxToolSteps: 64,
    })

    test('makes a bounded number of requests, and the model hears of it', async () => {
      const id = await startWithTools(server, [http()], steps(10, 16))
      expect((await chat(id)).body.choices[0]?.message.content).toBe('Done.')
      expect(service.requests).toHaveLength(MOST_OUTGOING)
      const results = await resultsOf(id)
      expect(results).toHaveLength(160)
      expect(
        results.filter(
          (result) => result === `Error: not called, because a reply may make ${MOST_OUTGOING} requests to tools.`,
        ),
      ).toHaveLength(160 - MOST_OUTGOING)
    })

    test('redirects and retries counted', async () => {
      service.on('/round/', (request, response) => response.writeHead(302, { location: `${request.path}x` }).end())
      const tool = http({ url: `${service.url}/round/{id}`, idempotent: true })
      const id = await startWithTools(server, [tool], steps(2, 16))
      await chat(id)
      // 32 calls of six requests each, twice, would be 384.
      expect(service.requests).toHaveLength(MOST_OUTGOING)
    })

    test('the handshakes and calls of MCP servers counted', async () => {
      const mcp = await startRawMcpServer((method) =>
        method === 'tools/list'
          ? { result: { tools: [{ name: 'ask', inputSchema: { type: 'object' } }] } }
          : { result: { content: [{ type: 'text', text: 'yes' }] } },
      )
      const id = await startWithTools(server, [{ type: 'mcp', url: mcp.url }], steps(10, 16))
      await chat(id)
      expect(mcp.requests).toHaveLength(MOST_OUTGOING)
      const results = await resultsOf(id)
      // The first three are the handshake, its confirmation and the list.
      expect(results.filter((result) => result === 'yes')).toHaveLength(MOST_OUTGOING - 3)
      await mcp.close()
    })
  })

  describe('an MCP server', () => {
    /** What comes of calling `ask` of a server that answers the call so. */
    async function asked(answer: RawAnswer, list: unknown[] = [{ name: 'ask', inputSchema: { type: 'object' } }]) {
      const mcp = await startRawMcpServer((method) => (method === 'tools/list' ? { result: { tools: list } } : answer))
      const result = await resultOf({ type: 'mcp', url: mcp.url }, 'ask')
      await mcp.close()
      return result
    }
    const large = { content: [{ type: 'text', text: 'x'.repeat(40 * 1_048_576) }] }
    const tooLarge = `the answer has more than ${MOST_BYTES_OF_ANSWER} bytes`

    test('cannot answer without end', async () => {
      expect(await asked({ result: large })).toContain(tooLarge)
    })

    test('cannot answer with a little that unpacks to a lot', async () => {
      const pack = (type: string, around: (json: string) => string) =>
        asked({
          result: large,
          write: (json, response) => {
            const packed = gzipSync(around(json))
            expect(packed.length).toBeLessThan(100_000)
            response.writeHead(200, { 'content-type': type, 'content-encoding': 'gzip' }).end(packed)
          },
        })
      expect(await pack('application/json', (json) => json)).toContain(tooLarge)
      expect(await pack('text/event-stream', (json) => `data: ${json}\n\n`)).toContain(tooLarge)
    })

    test('cannot send a stream of events that never ends', async () => {
      const result = await asked({
        result: {},
        write: (_json, response) => {
          response.writeHead(200, { 'content-type': 'text/event-stream' })
          const flood = () => {
            while (response.write(`data: ${'x'.repeat(60_000)}\n`));
            response.once('drain', flood)
          }
          flood()
        },
      })
      expect(result).toContain(tooLarge)
    })

    test('cannot make any number of parts of a result', async () => {
      const content = new Array(30_000).fill({ type: 'text', text: 'a' })
      const result = await asked({ result: { content } })
      expect(result).toMatch(/^(a\n){1000}\(29000 more: not shown\)$/)
    })

    test('does not offer tools that can only be called as tasks, and no end of tools', async () => {
      const offered = async (list: (page: number) => Json) => {
        let page = 0
        const mcp = await startRawMcpServer((method) =>
          method === 'tools/list' ? { result: list(page++) } : { result: {} },
        )
        provider.script([chatReply(['Ok'])])
        const more = { aiSystem: 'openai-compatible', model: 'm' }
        await chat(await startWithTools(server, [{ type: 'mcp', url: mcp.url }], {}, more))
        const { tools = [] } = (provider.requests.at(-1)?.body ?? {}) as { tools?: { function: Json }[] }
        const requests = mcp.requests.length
        await mcp.close()
        return { names: tools.map((one) => one.function['name']), pages: page, requests }
      }
      const tool = (name: string, execution?: Json) => ({
        name,
        inputSchema: { type: 'object' },
        ...(execution && { execution }),
      })
      const mixed = await offered(() => ({
        tools: [
          tool('task', { taskSupport: 'required' }),
          tool('either', { taskSupport: 'optional' }),
          {
            ...tool('huge'),
            description: 'x'.repeat(10),
            inputSchema: { type: 'object', description: 'x'.repeat(70_000) },
          },
          { name: 'no-schema' },
          'nonsense',
        ],
      }))
      expect(mixed.names).toEqual(['either', 'no-schema'])
      const line = server.logged.findLast(({ msg }) =>
        String(msg).startsWith('some tools of the MCP server http://127.0.0.1'),
      )
      expect(line?.['left']).toEqual([
        { tool: 'task', why: 'it can only be called as a task' },
        { tool: 'huge', why: 'it has more than 65536 characters' },
        { tool: '?', why: 'it is no object' },
      ])
      const endless = await offered((page) => ({ tools: [tool('same')], nextCursor: `on ${page}` }))
      expect(endless.pages).toBe(50)
      const many = await offered(() => ({ tools: new Array(10_000).fill(0).map((_, i) => tool(`t${i}`)) }))
      expect(many.names).toHaveLength(128)
    })

    /** Whoever has lost its parent is taken note of by the system's first process, and that may take its time. */
    const isAlive = (pid: number) => {
      try {
        return process.kill(pid, 0)
      } catch {
        return false
      }
    }

    test('that is a process goes with all it has started when the turn is over', async () => {
      const pids = JSON.parse(await resultOf({ type: 'mcp', preset: 'stubborn' }, 'pids')) as number[]
      expect(pids).toHaveLength(3)
      await expect.poll(() => pids.filter(isAlive)).toEqual([])
    })

    test('that is a process goes when it writes without end', async () => {
      expect(await resultOf({ type: 'mcp', preset: 'stubborn' }, 'flood')).toContain(tooLarge)
    })

    test('that is a process has one of a few places, which are given back', async () => {
      // Twice as many turns as there are places for one organization: each gets its turn.
      const results = await Promise.all(
        new Array(4).fill(0).map(async () => JSON.parse(await resultOf({ type: 'mcp', preset: 'stubborn' }, 'pids'))),
      )
      expect(new Set(results.flat()).size).toBe(12)
      await expect.poll(() => (results.flat() as number[]).filter(isAlive)).toEqual([])
    })
  })
})

onEveryDatabase('keys from before there was tools:write', (kind) => {
  test('get it if they may do everything else', async () => {
    const server = await startApp(kind)
    const former = SCOPES.filter((scope) => scope !== 'tools:write')
    const some = former.filter((scope) => scope !== 'reports:read')
    await createKey(server, former)
    await createKey(server, some)
    const { database } = server.app.services
    const [, give = ''] = tools(database.dialect.columnTypes)
    await database.write([{ sql: give, parameters: [] }])
    const { body } = await server.call<{ data: { scopes: string[] }[] }>('GET', '/api-keys')
    expect(body.data.map(({ scopes }) => scopes)).toEqual([SCOPES, SCOPES, some])
    await server.close()
  })
})
