import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Json, type RunningApp, startApp } from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'
import { type ProviderServer, startProviderServer } from '../support/provider-server.ts'
import { startRawMcpServer } from '../support/raw-mcp-server.ts'
import { startToolServer, type ToolServer } from '../support/tool-server.ts'
import { startWithTools } from '../support/tools.ts'

/** Clears a screen, sets a title, reverses what follows, hides, and ends lines. */
const EVIL = 'bad\u001b[2J\u001b]0;title\u0007 \u202egnp.exe\u2066 \u200b\ufeff\u009b31m\u2028end\u0000\u0085'
const DANGERS = /(?![\t\n])\p{Cc}|[\u00ad\u200b\u2028-\u202e\u2060-\u206f\ufeff]/u
const KEY = 'a-provider-key-that-nobody-may-see-0815'
const SECRET = 'q7Zk2MvX9tRb4LwYc8Hd3NfJ'

/** All texts in an answer, read as JSON: an escape is as dangerous as what it stands for. */
function textsIn(value: unknown): string[] {
  if (typeof value === 'string') return [value]
  if (typeof value !== 'object' || value === null) return []
  return [...(Array.isArray(value) ? [] : Object.keys(value)), ...Object.values(value).flatMap(textsIn)]
}

onEveryDatabase('what others say when something goes wrong', (kind) => {
  let server: RunningApp
  let provider: ProviderServer
  let service: ToolServer
  let mcp: ToolServer
  beforeAll(async () => {
    provider = await startProviderServer()
    service = await startToolServer()
    mcp = await startRawMcpServer((method) => {
      if (method !== 'tools/list') return { result: { isError: true, content: [{ type: 'text', text: EVIL }] } }
      return { result: { tools: [{ name: 'fail', description: 'Fails.', inputSchema: { type: 'object' } }] } }
    })
    server = await startApp(kind, {
      OPENAI_COMPATIBLE_BASE_URL: `${provider.url}/v1`,
      OPENAI_COMPATIBLE_API_KEY: KEY,
      DRAMATIS_ALLOW_PRIVATE_HOSTS: '127.0.0.1',
      DRAMATIS_SECRET_KEY: randomBytes(32).toString('base64'),
    })
  })
  afterAll(async () => {
    await server.close()
    await provider.close()
    await service.close()
    await mcp.close()
  })

  test.each([
    ['an answer', 400, JSON.stringify({ error: { message: EVIL } })],
    ['a page', 502, `<h1>${EVIL}</h1>`],
    ['a stream', 200, `data: ${JSON.stringify({ error: { message: EVIL } })}\n\n`],
    ['a key with gaps', 400, JSON.stringify({ error: { message: `bad ${[...KEY].join('\u202e')}` } })],
  ])('has nothing that a terminal obeys: %s of a provider', async (_name, status, body) => {
    const type = status === 200 ? 'text/event-stream' : 'application/json'
    provider.always({ status, headers: { 'content-type': type, 'retry-after': '60' }, pieces: [body] })
    const created = await server.call('POST', '/conversations', { aiSystem: 'openai-compatible', model: 'm' })
    const id = created.body['conversationId'] as string
    const failed = await server.call('POST', `/conversations/${id}/chat`, { message: 'Hi' })
    const runs = await server.call<{ data: Json[] }>('GET', `/conversations/${id}/runs`)
    const events = await server.call('GET', `/conversations/${id}/runs/${runs.body.data[0]?.['runId']}/events`)
    expect(failed.status).toBeGreaterThanOrEqual(400)
    expect(runs.text).toContain('bad')
    const said = textsIn([failed.body, runs.body, events.body])
    expect(said.filter((text) => text.includes('bad')).length).toBeGreaterThan(2)
    expect(said.filter((text) => DANGERS.test(text))).toEqual([])
    expect(JSON.stringify(server.logged)).not.toContain(KEY)
    expect(said.filter((text) => text.includes(KEY))).toEqual([])
  })

  test('has nothing that a terminal obeys: errors of tools and MCP servers, and no secret with gaps', async () => {
    await server.call('PUT', '/secrets/GAPS', { value: SECRET })
    service.on('/fails', (_request, response) => {
      response.writeHead(500, { 'content-type': 'text/plain' }).end(`${EVIL} ${[...SECRET].join('\u202e')}`)
    })
    service.on('/strange', (_request, response) => response.setHeader('content-type', 'a/\u009b31m\u00ad').end('x'))
    const http = (path: string) => ({
      type: 'http',
      name: 'fail',
      description: 'Fails.',
      inputSchema: { type: 'object' },
      method: 'GET',
      url: `${service.url}${path}`,
      headers: { 'x-key': '{{secret:GAPS}}' },
    })
    for (const tool of [http('/fails'), http('/strange'), { type: 'mcp', url: mcp.url }]) {
      const script = { rehearsal: { text: 'Done.', toolCalls: [[{ name: 'fail', input: {} }]] } }
      const id = await startWithTools(server, [tool], script)
      expect((await server.call('POST', `/conversations/${id}/chat`, { message: 'Go' })).status).toBe(200)
      const { body } = await server.call<{ chatMessages: { role: string; content: string }[] }>(
        'GET',
        `/conversations/${id}`,
      )
      const result = body.chatMessages.find(({ role }) => role === 'tool')?.content ?? ''
      expect(result).toMatch(/^Error: /)
      expect(result).not.toMatch(DANGERS)
      expect(result).not.toContain(SECRET.slice(0, 8))
    }
  })

  test('is what callers say, too', async () => {
    const path = await server.call('GET', `/${encodeURIComponent(EVIL)}`)
    const field = await server.call('POST', '/personas', {
      [EVIL]: 1,
      personaConfiguration: { variables: { [EVIL]: 1 } },
    })
    expect([path.status, field.status]).toEqual([404, 400])
    expect(textsIn([path.body, field.body]).filter((text) => DANGERS.test(text))).toEqual([])
  })
})
