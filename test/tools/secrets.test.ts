import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createKey, createOrganization, expectError, type Json, type RunningApp, startApp } from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'
import { startRawMcpServer } from '../support/raw-mcp-server.ts'
import { startToolServer, type ToolServer } from '../support/tool-server.ts'
import { readConversation, startWithTools, type Whole } from '../support/tools.ts'

const REHEARSAL = { aiSystem: 'rehearsal', model: 'rehearsal' }
const SECRET = 'sk-Very/Secret+"7"'
const PASSWORD = 'pass & word'
const inputSchema = { type: 'object', properties: { id: { type: 'string' } } }

onEveryDatabase('what a secret may be used for', (kind) => {
  let server: RunningApp
  let service: ToolServer
  let other: ToolServer
  beforeAll(async () => {
    service = await startToolServer()
    other = await startToolServer()
    server = await startApp(kind, {
      DRAMATIS_SECRET_KEY: randomBytes(32).toString('base64'),
      DRAMATIS_ALLOW_PRIVATE_HOSTS: '127.0.0.1,localhost',
    })
    const put = (name: string, value: string, hosts?: string[]) =>
      server.call('PUT', `/secrets/${name}`, { value, hosts })
    await put('TOKEN', SECRET)
    await put('HERE', SECRET, [`127.0.0.1:${service.port}`])
    await put('BASIC', Buffer.from(`someone:${PASSWORD}`).toString('base64'))
  })
  afterAll(async () => {
    await server.close()
    await service.close()
    await other.close()
  })
  beforeEach(() => {
    service.requests.length = 0
    other.requests.length = 0
  })

  const tool = (more: Json = {}): Json => ({
    type: 'http',
    name: 'ask',
    description: 'Asks.',
    inputSchema,
    method: 'GET',
    url: `${service.url}/echo/{id}`,
    headers: { 'x-token': '{{secret:TOKEN}}' },
    ...more,
  })
  async function resultOf(one: Json): Promise<string> {
    const script = { rehearsal: { text: 'Done.', toolCalls: [[{ name: 'ask', input: { id: 'a' } }]] } }
    const id = await startWithTools(server, [one], script)
    const answer = await server.call<Whole>('POST', `/conversations/${id}/chat`, { message: 'Go' })
    expect(answer.body.choices?.[0]?.message.content, answer.text).toBe('Done.')
    const { chatMessages } = await readConversation(server, id)
    return chatMessages.find(({ role }) => role === 'tool')?.content ?? ''
  }
  const secretsOf = async () =>
    Object.fromEntries(
      (await server.call<{ data: { name: string; hosts: unknown }[] }>('GET', '/secrets')).body.data.map(
        ({ name, hosts }) => [name, hosts],
      ),
    )

  describe('hosts', () => {
    test('are not told to who writes a tool, and neither is the value', async () => {
      const value = 'the-value-0815'
      await server.call('PUT', '/secrets/BOUND', { value, hosts: ['inside.example'] })
      const writer = await createKey(server, ['personas:write'])
      const write = (name: string) =>
        server.call(
          'POST',
          '/personas',
          {
            personaName: 'a',
            personaDescription: 'b',
            ...REHEARSAL,
            personaConfiguration: { tools: [tool({ headers: { 'x-token': `{{secret:${name}}}` } })] },
          },
          writer,
        )
      const refused = await write('BOUND')
      expect(expectError(refused, 'bad_request').message).toContain('holds the secret BOUND, which may not go to')
      expect(refused.text).not.toMatch(/inside\.example|0815/)
      // One that there is not yet may come later.
      expect((await write('UNKNOWN')).status).toBe(200)
    })

    test('are kept with it and shown; a new value goes no farther than the old one', async () => {
      const put = (body: Json) => server.call('PUT', '/secrets/MOVING', { value: 'v', ...body })
      const hosts = ['api.example.com', '*.example.org:8443', '[::1]:80']
      expect((await put({ hosts })).status).toBe(204)
      expect(await secretsOf()).toMatchObject({ MOVING: hosts, TOKEN: null })
      expect((await put({})).status).toBe(204)
      expect((await secretsOf())['MOVING']).toEqual(hosts)
      expect((await put({ hosts: ['b.example'] })).status).toBe(204)
      expect((await secretsOf())['MOVING']).toEqual(['b.example'])
      expect((await put({ hosts: null })).status).toBe(204)
      expect((await secretsOf())['MOVING']).toBeNull()
      for (const wrong of [
        [],
        ['https://a.example'],
        ['a.example/x'],
        ['*'],
        [7],
        'a.example',
        new Array(33).fill('a'),
      ]) {
        const error = expectError(await put({ hosts: wrong }), 'bad_request', JSON.stringify(wrong))
        expect(error.details[0]?.field).toMatch(/^hosts/)
      }
      await server.call('DELETE', '/secrets/MOVING')
    })

    test('are those of the tool, which is checked when it is written', async () => {
      const tools = [tool(), tool({ name: 'b', url: `${other.url}/{id}`, headers: { a: 'Bearer {{secret:HERE}}' } })]
      const writes: [string, string, Json][] = [
        ['POST', '/conversations', { ...REHEARSAL, configuration: { tools } }],
        ['POST', '/conversations', { ...REHEARSAL, configuration: { tools }, message: 'Go' }],
      ]
      const content = { ...REHEARSAL, personaConfiguration: { tools } }
      const named = { personaName: 'P', personaDescription: 'D', ...REHEARSAL }
      const { personaId } = (await server.call('POST', '/personas', named)).body
      writes.push(['POST', '/personas', { ...named, ...content }])
      writes.push(['POST', `/personas/${personaId}`, content])
      writes.push(['PATCH', `/personas/${personaId}`, { personaConfiguration: { tools } }])
      for (const [method, path, body] of writes) {
        const error = expectError(await server.call(method, path, body), 'bad_request', `${method} ${path}`)
        expect(error.details[0]?.field).toMatch(/onfiguration\.tools\.1\.headers\.a$/)
        expect(error.message).toContain(`127.0.0.1:${other.port}`)
        expect(error.message).toContain('HERE')
        expect(error.message).not.toContain(SECRET)
      }
      const mcp = [{ type: 'mcp', url: `${other.url}/mcp`, headers: { a: '{{secret:HERE}}' } }]
      expectError(
        await server.call('POST', '/conversations', { ...REHEARSAL, configuration: { tools: mcp } }),
        'bad_request',
      )
      const mine = [tool({ headers: { a: '{{secret:HERE}}' } })]
      expect(
        (await server.call('POST', '/conversations', { ...REHEARSAL, configuration: { tools: mine } })).status,
      ).toBe(200)
    })

    test('are checked again at the call: the secret may have come, or changed, since', async () => {
      const url = `${other.url}/{id}`
      const late = tool({ url, headers: { a: '{{secret:LATE}}' } })
      const script = { rehearsal: { text: 'Done.', toolCalls: [[{ name: 'ask', input: { id: 'a' } }]] } }
      const id = await startWithTools(server, [late], script)
      await server.call('PUT', '/secrets/LATE', { value: SECRET, hosts: ['api.example.com'] })
      await server.call<Whole>('POST', `/conversations/${id}/chat`, { message: 'Go' })
      const { chatMessages } = await readConversation(server, id)
      expect(chatMessages.find(({ role }) => role === 'tool')?.content).toBe(
        `Error: the secret LATE may not go to 127.0.0.1:${other.port}.`,
      )
      const mcpUrl = `${other.url}/mcp`
      const mcp = await startWithTools(server, [{ type: 'mcp', url: mcpUrl, headers: { a: '{{secret:NEW}}' } }], {})
      await server.call('PUT', '/secrets/NEW', { value: SECRET, hosts: ['api.example.com'] })
      const refused = await server.call('POST', `/conversations/${mcp}/chat`, { message: 'Go' })
      expect(expectError(refused, 'unavailable').message).toContain('the secret NEW may not go to')
      expect(other.requests).toEqual([])
    })

    test('and secrets of another organization are not there at all', async () => {
      const { key } = await createOrganization(server)
      const them = { 'x-hl-api-key': key }
      const script = { rehearsal: { text: 'Done.', toolCalls: [[{ name: 'ask', input: { id: 'a' } }]] } }
      // Nobody learns from a refusal that we have such a secret, and where it may go.
      const configuration = {
        tools: [tool({ url: `${other.url}/{id}`, headers: { a: '{{secret:HERE}}' } })],
        ...script,
      }
      const body = { ...REHEARSAL, configuration, message: 'Go' }
      const answer = await server.call<{ chatMessages: Json[] }>('POST', '/conversations', body, them)
      const result = answer.body.chatMessages.find(({ role }) => role === 'tool')
      expect(result?.['content']).toBe('Error: the secret HERE is not set.')
      expect(other.requests).toEqual([])
    })

    test('are not left by a redirect', async () => {
      service.on('/away/', (_request, response) =>
        response.writeHead(302, { location: `http://localhost:${other.port}/end` }).end(),
      )
      service.on('/back/', (_request, response) =>
        response.writeHead(302, { location: `http://127.0.0.1:${other.port}/home` }).end(),
      )
      other.on('/home', (_request, response) => response.writeHead(302, { location: `${service.url}/end` }).end())
      for (const path of ['away', 'back']) await resultOf(tool({ url: `${service.url}/${path}/{id}` }))
      expect(other.requests.map(({ path }) => path)).toEqual(['/end', '/home'])
      // Not even when it comes back to where it was.
      expect(service.requests.map(({ path }) => path)).toEqual(['/away/a', '/back/a', '/end'])
      const sent = [...other.requests, ...service.requests.filter(({ path }) => path === '/end')]
      expect(sent.filter(({ headers }) => headers['x-token'] !== undefined)).toEqual([])
    })
  })

  describe('what is sent back', () => {
    const at = (path: string, more: Json = {}) => resultOf(tool({ url: `${service.url}/${path}/{id}`, ...more }))
    const bare = SECRET.toLowerCase()

    test('is hidden in every usual disguise', async () => {
      const base64 = (text: string) => Buffer.from(text).toString('base64')
      const disguises = [
        SECRET,
        SECRET.toUpperCase(),
        JSON.stringify({ a: SECRET }),
        JSON.stringify(JSON.stringify({ a: SECRET })),
        encodeURIComponent(SECRET),
        base64(SECRET),
        base64(`a${SECRET}b`),
        base64(`ab${SECRET}`),
        Buffer.from(SECRET).toString('base64url'),
        Buffer.from(SECRET).toString('hex'),
        SECRET.split('').join('\n'),
        SECRET.replaceAll('"', '&quot;'),
      ]
      service.on('/echo-all/', (_request, response) => response.end(disguises.map((one) => `<${one}>`).join(' ')))
      const shown = await at('echo-all')
      expect(shown.match(/\[secret\]/g)).toHaveLength(disguises.length)
      for (const one of disguises) expect(shown).not.toContain(one)
    })

    test('is hidden where the answer is cut within it', async () => {
      service.on('/cut-plain/', (request, response) => response.end(`you sent ${request.headers['x-token']}`))
      service.on('/cut-base64/', (request, response) =>
        response.end(`you sent ${Buffer.from(String(request.headers['x-token'])).toString('base64')}`),
      )
      for (let maxBytes = 'you sent '.length + 4; maxBytes < 'you sent '.length + SECRET.length; maxBytes++) {
        const plain = await at('cut-plain', { maxBytes })
        expect(plain).toBe('you sent [secret]\n(Cut: the answer is larger than what is read of it.)')
        const encoded = await at('cut-base64', { maxBytes })
        expect(encoded).toBe('you sent [secret]\n(Cut: the answer is larger than what is read of it.)')
      }
    })

    test('is hidden in errors, types and addresses', async () => {
      service.on('/error/', (request, response) => response.writeHead(500).end(`no: ${request.headers['x-token']}`))
      service.on('/type/', (request, response) =>
        response
          .writeHead(200, { 'content-type': `image/${encodeURIComponent(String(request.headers['x-token']))}` })
          .end('x'),
      )
      service.on('/location/', (_request, response) =>
        response.writeHead(302, { location: `http://10.0.0.1/${bare}` }).end(),
      )
      expect(await at('error')).toBe('Error: the service answered 500. no: [secret]')
      expect(await at('type')).toBe('Error: the service answered 200 with image/[secret], which is no text.')
      expect(await at('location')).toMatch(/^Error: the service cannot be used: it has a private address/)
    })

    test('is hidden where credentials are taken apart', async () => {
      service.on('/basic/', (request, response) => {
        const header = String(request.headers.authorization)
        const pair = Buffer.from(header.slice('Basic '.length), 'base64').toString()
        response.end([header, pair, pair.split(':')[1]].join(' | '))
      })
      const shown = await at('basic', { headers: { authorization: 'Basic {{secret:BASIC}}' } })
      expect(shown).toMatch(/^(Basic )?\[secret\]=* \| \[secret\] \| \[secret\]$/)
    })

    test('is no more than what the output schema names', async () => {
      service.on('/order/', (request, response) =>
        response.setHeader('content-type', 'application/json').end(
          JSON.stringify({
            id: 7,
            note: `with ${request.headers['x-token']}`,
            half: SECRET.slice(0, 9),
            rest: SECRET.slice(9),
            lines: [{ sku: 'a', half: SECRET.slice(3) }],
          }),
        ),
      )
      const properties = {
        id: {},
        note: { type: 'string' },
        lines: { type: 'array', items: { type: 'object', properties: { sku: {} } } },
      }
      const outputSchema = { type: 'object', properties }
      expect(await at('order', { outputSchema })).toBe('{"id":7,"note":"with [secret]","lines":[{"sku":"a"}]}')
      expect(await at('order', { outputSchema, maxBytes: 20 })).toMatch(
        /^Error: the answer is larger than what is read/,
      )
      service.on('/page/', (_request, response) => response.end('<p>no JSON</p>'))
      expect(await at('page', { outputSchema })).toBe('Error: the service answered what is no JSON.')
      service.on('/error/', (request, response) => response.writeHead(500).end(`no: ${request.headers['x-token']}`))
      expect(await at('error', { outputSchema })).toBe('Error: the service answered 500.')
    })

    test('is hidden by an MCP server too, wherever it says it', async () => {
      let reply: Json = {}
      const mcp = await startRawMcpServer((method) =>
        method === 'tools/list'
          ? { result: { tools: [{ name: 'ask', description: `Use ${SECRET}`, inputSchema: { type: 'object' } }] } }
          : (reply as { result: unknown }),
      )
      const asked = (answer: Json) => {
        reply = answer
        return resultOf({ type: 'mcp', url: mcp.url, headers: { authorization: 'Bearer {{secret:TOKEN}}' } })
      }
      const text = (one: string, more: Json = {}) => ({ result: { content: [{ type: 'text', text: one }], ...more } })
      expect(await asked(text(`you sent ${SECRET}`))).toBe('you sent [secret]')
      expect(await asked(text(`no: ${bare}`, { isError: true }))).toBe('Error: no: [secret]')
      expect(await asked({ result: { structuredContent: { a: SECRET } } })).toBe('{"a":"[secret]"}')
      const resource = { uri: 'a:b', text: Buffer.from(SECRET).toString('hex') }
      expect(await asked({ result: { content: [{ type: 'resource', resource }] } })).toBe('(resource: a:b)\n[secret]')
      expect(await asked({ result: { content: [{ type: 'image', mimeType: SECRET }] } })).toBe('([secret]: not shown)')
      const failed = await asked({ error: { code: -32_603, message: SECRET, data: SECRET } })
      expect(failed).toBe('Error: the MCP server has failed: it answered with the error -32603: [secret].')
      await mcp.close()
    })
  })

  test('stands nowhere in the log', () => {
    const log = JSON.stringify(server.logged)
    expect(server.logged.length).toBeGreaterThan(10)
    for (const one of [SECRET, PASSWORD, Buffer.from(SECRET).toString('base64')]) {
      expect(log).not.toContain(JSON.stringify(one).slice(1, -1))
    }
  })
})
