import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { expectError, type Json, type RunningApp, startApp } from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'
import { startMcpEventsServer } from '../support/mcp-events-server.ts'
import { startToolServer, type ToolServer } from '../support/tool-server.ts'
import { readConversation, startWithTools, type Whole } from '../support/tools.ts'

const NOISY = join(import.meta.dirname, '../support/mcp-noisy.ts')
const VERSIONS = ['2025-11-25', '2025-06-18', '2025-03-26', '2024-11-05']

onEveryDatabase('ways to MCP servers', (kind) => {
  let server: RunningApp
  let service: ToolServer
  beforeAll(async () => {
    service = await startToolServer()
    server = await startApp(kind, {
      DRAMATIS_ALLOW_PRIVATE_HOSTS: '127.0.0.1',
      DRAMATIS_MCP_COMMANDS: JSON.stringify({ noisy: { command: process.execPath, args: [NOISY] } }),
    })
  })
  afterAll(async () => {
    await server.close()
    await service.close()
  })

  async function talk(tool: Json, ...calls: Json[]) {
    const id = await startWithTools(server, [{ type: 'mcp', ...tool }], {
      rehearsal: { text: 'Done.', toolCalls: [calls] },
    })
    const answer = await server.call<Whole>('POST', `/conversations/${id}/chat`, { message: 'Go' })
    const { chatMessages } = await readConversation(server, id)
    return { answer, results: chatMessages.filter(({ role }) => role === 'tool').map(({ content }) => content) }
  }

  /** A server of raw messages at a path of its own, with sessions; `before` may answer in its place. */
  function serve(path: string, options: { before?: Before; initialize?: Json } = {}) {
    const sessions = new Set<string>()
    const seen: { method: string; session: unknown; version: unknown; authorization: unknown }[] = []
    service.on(path, (request, response) => {
      const { id, method, params } = JSON.parse(request.body || '{}') as { id?: number; method: string; params?: Json }
      const { 'mcp-session-id': session, 'mcp-protocol-version': version, authorization } = request.headers
      seen.push({ method, session, version, authorization })
      if (options.before?.(method, sessions, response)) return
      if (request.method !== 'POST') return response.writeHead(200).end()
      const reply = (result: Json) =>
        response.setHeader('content-type', 'application/json').end(JSON.stringify({ jsonrpc: '2.0', id, result }))
      if (method === 'initialize') {
        const name = `s${sessions.size}-${seen.length}`
        sessions.add(name)
        response.setHeader('mcp-session-id', name)
        const { protocolVersion } = params as Json
        const about = { capabilities: { tools: {} }, serverInfo: { name: 'raw', version: '1' } }
        return reply({ protocolVersion, ...about, ...options.initialize })
      }
      if (!sessions.has(String(session))) return response.writeHead(404).end('Session not found')
      if (id === undefined) return response.writeHead(202).end()
      if (method === 'tools/list') return reply({ tools: [{ name: 'get', inputSchema: { type: 'object' } }] })
      return reply({ content: [{ type: 'text', text: 'fine' }] })
    })
    return { url: `${service.url}${path}`, seen }
  }
  type Before = (method: string, sessions: Set<string>, response: Parameters<Answerer>[1]) => boolean | undefined
  type Answerer = Parameters<ToolServer['on']>[1]
  const get = { name: 'get', input: {} }

  test.each<[string, number, string]>([
    ['404', 404, 'Session not found'],
    [
      '400 and words',
      400,
      '{"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request: No valid session ID provided"}}',
    ],
    ['an error of JSON-RPC', 200, '{"jsonrpc":"2.0","id":ID,"error":{"code":-32001,"message":"Session expired"}}'],
  ])('a session that is gone (%s) is begun again, and every call is made once', async (what, status, body) => {
    let failures = 0
    const { url, seen } = serve(`/gone-${what.length}`, {
      before: (method, sessions, response) => {
        if (method !== 'tools/call' || failures === 2) return false
        failures++
        sessions.clear()
        response.setHeader('content-type', 'application/json')
        response.writeHead(status).end(body.replace('ID', String(failures + 1)))
        return true
      },
    })
    const { results } = await talk({ url }, get, get)
    expect(results).toEqual(['fine', 'fine'])
    expect(seen.filter(({ method }) => method === 'initialize')).toHaveLength(2)
    expect(seen.filter(({ method }) => method === 'tools/call')).toHaveLength(4)
  })

  test('a server that forgets every session is not asked for ever', async () => {
    const { url, seen } = serve('/forgets', {
      before: (method, sessions) => {
        if (method === 'tools/call') sessions.clear()
        return false
      },
    })
    expect((await talk({ url }, get)).results).toEqual(['Error: the MCP server has failed: it answered with 404.'])
    expect(seen.filter(({ method }) => method === 'tools/call')).toHaveLength(2)
  })

  test.each([301, 302, 307, 308])(
    'a redirect (%d) to the same host is followed with all that was sent',
    async (status) => {
      const { url, seen } = serve(`/mcp-${status}/`)
      service.on(`/from-${status}`, (_request, response) => response.writeHead(status, { location: url }).end())
      const tool = { url: `${service.url}/from-${status}`, headers: { authorization: 'Bearer key' } }
      expect((await talk(tool, get)).results).toEqual(['fine'])
      expect(new Set(seen.map(({ authorization }) => authorization))).toEqual(new Set(['Bearer key']))
    },
  )

  test('a redirect to another host is not followed, nor one without end', async () => {
    const { url, seen } = serve('/elsewhere')
    const other = url.replace('127.0.0.1', 'localhost')
    service.on('/away', (_request, response) => response.writeHead(307, { location: other }).end())
    service.on('/circle', (_request, response) => response.writeHead(307, { location: '/circle' }).end())
    const away = expectError((await talk({ url: `${service.url}/away` }, get)).answer, 'unavailable')
    expect(away.message).toContain('it answered with 307, a redirect that is not followed')
    expectError((await talk({ url: `${service.url}/circle` }, get)).answer, 'unavailable')
    expect(seen).toEqual([])
    expect(service.requests.filter(({ path }) => path === '/circle').length).toBeLessThan(10)
  })

  test('a server that knows only the older way of HTTP is reached by it', async () => {
    const mcp = await startMcpEventsServer()
    const headers = { authorization: 'Bearer key' }
    const { results } = await talk({ url: mcp.url, headers }, { name: 'add', input: { a: 2, b: 40 } }, { name: 'fail' })
    expect(results).toEqual(['42', 'Error: it went wrong'])
    expect(new Set(mcp.authorizations)).toEqual(new Set(['Bearer key']))
    await expect.poll(() => mcp.streams()).toBe(0)
    await mcp.close()
  })

  test('what is no MCP server at all says what it answered', async () => {
    service.on('/nothing', (_request, response) => response.writeHead(404).end('Not here'))
    service.on('/page', (_request, response) => response.setHeader('content-type', 'text/html').end('<p>Hello</p>'))
    const nothing = expectError((await talk({ url: `${service.url}/nothing` }, get)).answer, 'unavailable')
    expect(nothing.message).toMatch(/it answered with 404$/)
    const page = expectError((await talk({ url: `${service.url}/page` }, get)).answer, 'unavailable')
    expect(page.message).toMatch(/it answered with something else than JSON or events$/)
  })

  test.each(VERSIONS)('a server that speaks the version %s is spoken to in it', async (protocolVersion) => {
    const { url, seen } = serve(`/version-${protocolVersion}`, { initialize: { protocolVersion } })
    expect((await talk({ url }, get)).results).toEqual(['fine'])
    const calls = seen.filter(({ method }) => method === 'tools/call')
    expect(calls.map(({ version }) => version)).toEqual([protocolVersion])
  })

  test('a server of a version that nobody knows is named as that', async () => {
    const { url } = serve('/version-old', { initialize: { protocolVersion: '1999-01-01' } })
    const { message } = expectError((await talk({ url }, get)).answer, 'unavailable')
    expect(message).toContain('it speaks another version of the protocol (1999-01-01)')
  })

  test('a server whose handshake has nulls is used', async () => {
    const serverInfo = { name: 'raw', version: '1', title: null, icons: null }
    const initialize = { instructions: null, capabilities: { tools: {}, logging: null, prompts: null }, serverInfo }
    expect((await talk({ url: serve('/nulls', { initialize }).url }, get)).results).toEqual(['fine'])
  })

  test('a process that also prints, notifies and asks is understood', async () => {
    expect((await talk({ preset: 'noisy' }, { name: 'hi', input: {} })).results).toEqual(['hi there'])
  })
})
