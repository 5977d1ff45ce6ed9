import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  createKey,
  createOrganization,
  expectError,
  type Json,
  type RunningApp,
  serve,
  startApp,
} from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'
import { startToolServer, type ToolServer } from '../support/tool-server.ts'
import { itemsOf, readConversation, shapeOf, startWithTools, type Whole } from '../support/tools.ts'

const SECRET = 'the-token-nobody-may-see'
const properties = { id: { type: 'string' }, q: {}, tags: {}, n: { type: 'integer' } }
const inputSchema = { type: 'object', properties }

onEveryDatabase('tools that the server calls over HTTP', (kind) => {
  let server: RunningApp
  let service: ToolServer
  const key = randomBytes(32).toString('base64')
  beforeAll(async () => {
    service = await startToolServer()
    server = await startApp(kind, { DRAMATIS_SECRET_KEY: key, DRAMATIS_ALLOW_PRIVATE_HOSTS: '127.0.0.1' })
    await server.call('PUT', '/secrets/TOKEN', { value: SECRET })
  })
  afterAll(async () => {
    await server.close()
    await service.close()
  })
  beforeEach(() => {
    service.requests.length = 0
  })

  const tool = (more: Json = {}): Json => ({
    type: 'http',
    name: 'ask',
    description: 'Asks.',
    inputSchema,
    method: 'GET',
    url: `${service.url}/echo/{id}`,
    ...more,
  })
  const start = (tools: Json[], toolCalls: Json[][], more: Json = {}) =>
    startWithTools(server, tools, { rehearsal: { text: 'Done.', toolCalls }, ...more })
  const chat = (id: string) => server.call<Whole>('POST', `/conversations/${id}/chat`, { message: 'Go' })
  const resultsOf = async (id: string) =>
    (await readConversation(server, id)).chatMessages
      .filter(({ role }) => role === 'tool')
      .map(({ content }) => content)
  /** What the model gets to see of one call. */
  async function resultOf(one: Json, input: Json = { id: 'a' }): Promise<string> {
    const id = await start([one], [[{ name: 'ask', input }]])
    const answer = await chat(id)
    expect(answer.body.choices[0]?.message.content, answer.text).toBe('Done.')
    return (await resultsOf(id))[0] ?? ''
  }

  test('fill the URL, send the rest as query or JSON body, and the secret in a header', async () => {
    const headers = { 'X-Token': 'Bearer {{secret:TOKEN}}' }
    await resultOf(tool({ headers }), { id: 'a/b c', q: 'ü&x', tags: ['1', '2'] })
    expect(service.requests[0]).toMatchObject({ method: 'GET', path: '/echo/a%2Fb%20c?q=%C3%BC%26x&tags=1&tags=2' })
    expect(service.requests[0]?.headers['x-token']).toBe(`Bearer ${SECRET}`)
    const posted = await resultOf(tool({ method: 'POST', headers }), { id: '7', q: { deep: [true] } })
    expect(JSON.parse(posted)).toEqual({ method: 'POST', path: '/echo/7', body: '{"q":{"deep":[true]}}' })
    expect(service.requests[1]?.headers['content-type']).toBe('application/json')
  })

  test('run in parallel and step by step, visible in the stream and stored in order', async () => {
    const both = Promise.withResolvers<void>()
    let arrived = 0
    service.on('/both/', (request, response) => {
      if (++arrived === 2) both.resolve()
      // Each answers only when the other is under way too; the first last.
      void both.promise.then(() => setTimeout(() => response.end(request.path), request.path.endsWith('one') ? 300 : 0))
    })
    const ask = tool({ url: `${service.url}/both/{id}` })
    const steps = [
      [
        { name: 'ask', input: { id: 'one' } },
        { name: 'ask', input: { id: 'two' } },
      ],
      [{ name: 'nothing' }],
    ]
    const id = await start([ask], steps)
    const text = await (await server.open('POST', `/conversations/${id}/chat-sse`, { message: 'Go' })).text()
    const { items } = itemsOf(text)
    const results = ['calls:ask,ask', 'result:ask', 'result:ask', 'calls:nothing', 'result:nothing']
    expect(shapeOf(items)).toEqual([...results, 'text', 'end:stop'])
    expect(items[1]?.choice.message.content).toBe('/both/two')
    expect(items.at(-1)?.usage?.completion_tokens).toBe(4)
    const { chatMessages } = await readConversation(server, id)
    expect(chatMessages.map(({ role, content }) => `${role} ${content}`)).toEqual([
      ...['user Go', 'assistant ', 'tool /both/one', 'tool /both/two', 'assistant '],
      ...['tool Error: there is no tool called nothing.', 'assistant Done.'],
    ])
    expect(chatMessages.at(-1)?.messageId).toBe(items[0]?.messageId)
    expect(chatMessages.map(({ messageId }) => messageId)).toEqual(chatMessages.map((one) => one.messageId).sort())
    const path = `/conversations/${id}/runs/${items[0]?.runId}`
    expect((await server.call('GET', `${path}/events`)).text).toBe(text)
    const { body: run } = await server.call<{ attempts: Json[]; usage: Json }>('GET', path)
    expect(run.attempts).toHaveLength(3)
    expect(run.usage).toEqual(items.at(-1)?.usage)
    const again = await server.call<Whole>('POST', `/conversations/${id}/regenerate`)
    expect(again.body.choices[0]?.message.content).toBe('Done.')
    expect((await readConversation(server, id)).chatMessages).toHaveLength(7)
  })

  test('are part of the answer to a first message', async () => {
    const answer = await server.call<{ chatMessages: Json[]; chatMessagesCount: number }>('POST', '/conversations', {
      aiSystem: 'rehearsal',
      model: 'r',
      message: 'Go',
      configuration: {
        tools: [tool()],
        rehearsal: { text: 'Done.', toolCalls: [[{ name: 'ask', input: { id: 'a' } }]] },
      },
    })
    expect(answer.body.chatMessages.map(({ role }) => role)).toEqual(['user', 'assistant', 'tool', 'assistant'])
    expect(answer.body.chatMessagesCount).toBe(4)
  })

  test('stop after the steps that are allowed', async () => {
    const id = await start([tool()], new Array(5).fill([{ name: 'ask', input: { id: 'a' } }]), { maxToolSteps: 2 })
    expect((await chat(id)).body.choices[0]).toMatchObject({ finish_reason: 'stop', message: { content: 'Done.' } })
    expect(service.requests).toHaveLength(2)
  })

  describe('what goes wrong is a result', () => {
    test('of the service', async () => {
      service.on('/missing/', (_request, response) => response.writeHead(404).end('no such thing'))
      service.on('/image/', (_request, response) => response.setHeader('content-type', 'image/png').end('PNG'))
      service.on('/slow/', () => {})
      service.on('/leak/', (request, response) => response.end(`you sent ${request.headers['x-token']}`))
      const at = (path: string, more: Json = {}) => resultOf(tool({ url: `${service.url}/${path}/{id}`, ...more }))
      expect(await at('missing')).toBe('Error: the service answered 404. no such thing')
      expect(await at('image')).toMatch(/^Error: .*image\/png/)
      expect(await at('slow', { timeoutMs: 50 })).toBe('Error: there was no answer within 50 ms.')
      expect(await at('leak', { headers: { 'x-token': '{{secret:TOKEN}}' } })).toBe('you sent [secret]')
      expect(await at('leak', { headers: { 'x-token': '{{secret:OTHER}}' } })).toBe(
        'Error: the secret OTHER is not set.',
      )
    })

    test('of the input', async () => {
      expect(await resultOf(tool(), { q: 'x' })).toBe('Error: the input lacks id.')
      expect(await resultOf(tool(), { id: '..' })).toBe('Error: id cannot be "..".')
      expect(await resultOf(tool(), { id: 'a', n: 'x' })).toMatch(
        /^Error: the input is not .* input\/n must be integer/,
      )
      expect(service.requests).toEqual([])
    })

    test('and one that is too long is cut', async () => {
      service.on('/long/', (_request, response) => response.end('x'.repeat(30_000)))
      const long = await resultOf(tool({ url: `${service.url}/long/{id}` }))
      expect(long).toMatch(/^x{20000}\n\(Cut: these are the first 20000 of 30000 characters\.\)$/)
      const few = await resultOf(tool({ url: `${service.url}/long/{id}`, maxBytes: 10 }))
      expect(few).toBe(`${'x'.repeat(10)}\n(Cut: the answer is larger than what is read of it.)`)
    })
  })

  test('only what may be done twice is tried twice', async () => {
    service.on('/cut/', (_request, response) => response.destroy())
    const cut = (more: Json) => resultOf(tool({ method: 'POST', url: `${service.url}/cut/{id}`, ...more }))
    expect(await cut({})).toMatch(/^Error: the service cannot be reached/)
    expect(service.requests).toHaveLength(1)
    await cut({ idempotent: true })
    expect(service.requests).toHaveLength(3)
  })

  test('reach no private address, by no way', async () => {
    const { port } = service
    service.on('/away/', (_request, response) =>
      response.writeHead(302, { location: `http://localhost:${port}/secret` }).end(),
    )
    service.on('/near/', (_request, response) => response.writeHead(302, { location: '/echo/near' }).end())
    const urls = [`http://localhost:${port}/`, `http://[::ffff:127.0.0.1]:${port}/`, `http://[::1]:${port}/`]
    for (const url of urls) expect(await resultOf(tool({ url })), url).toMatch(/^Error: .* private address/)
    const headers = { 'x-token': '{{secret:TOKEN}}' }
    expect(await resultOf(tool({ url: `${service.url}/away/{id}`, headers }))).toMatch(
      /^Error: the service cannot be used: it has a private address/,
    )
    expect(service.requests.map(({ path }) => path)).toEqual(['/away/a'])
    expect(await resultOf(tool({ url: `${service.url}/near/{id}`, headers }))).toContain('"/echo/near"')
    expect(service.requests.at(-1)?.headers['x-token']).toBe(SECRET)
  })

  test('are stopped when the run is cancelled, and the pair is repaired', async () => {
    service.on('/never/', () => {})
    const id = await start([tool({ url: `${service.url}/never/{id}` })], [[{ name: 'ask', input: { id: 'a' } }]])
    const response = await server.open('POST', `/conversations/${id}/chat-sse`, { message: 'Go' })
    await service.asked('/never/')
    const runId = response.headers.get('x-dramatis-run-id')
    const receipt = await server.call('POST', `/conversations/${id}/runs/${runId}/cancel`)
    expect(receipt.body).toMatchObject({ status: 'cancelled', textLength: 0 })
    const text = await response.text()
    expect(shapeOf(itemsOf(text).items)).toEqual(['calls:ask', 'result:ask', 'end:cancelled'])
    expect(await resultsOf(id)).toEqual([expect.stringMatching(/^Error: the call was interrupted/)])
    expect((await server.call('GET', `/conversations/${id}/runs/${runId}/events`)).text).toBe(text)
  })

  test('are checked when they are written', async () => {
    const fieldOf = async (more: Json) => {
      const configuration = { tools: [tool(more)] }
      const answer = await server.call('POST', '/conversations', { aiSystem: 'rehearsal', model: 'r', configuration })
      return expectError(answer, 'bad_request').details[0]?.field.replace('configuration.tools.0', '')
    }
    expect(await fieldOf({ method: 'TRACE' })).toBe('.method')
    expect(await fieldOf({ url: undefined })).toBe('.url')
    expect(await fieldOf({ url: 'ftp://x/' })).toBe('.url')
    expect(await fieldOf({ url: 'https://{id}.example.com/' })).toBe('.url')
    expect(await fieldOf({ url: 'https://example.com/{other}' })).toBe('.url')
    expect(await fieldOf({ headers: { 'a b': 'x' } })).toBe('.headers.a b')
    expect(await fieldOf({ headers: { a: 'x\ny' } })).toBe('.headers.a')
    expect(await fieldOf({ headers: { a: '{{secret:no good}}' } })).toBe('.headers.a')
    expect(await fieldOf({ headers: { Host: 'x' } })).toBe('.headers.Host')
  })

  describe('secrets', () => {
    test('are kept, listed and deleted, and never shown', async () => {
      expect((await server.call('PUT', '/secrets/OTHER_ONE', { value: 'v1' })).status).toBe(204)
      expect((await server.call('PUT', '/secrets/OTHER_ONE', { value: SECRET })).status).toBe(204)
      const list = await server.call<{ data: { name: string }[] }>('GET', '/secrets')
      expect(list.body.data.map(({ name }) => name)).toEqual(['OTHER_ONE', 'TOKEN'])
      expect(list.text).not.toContain(SECRET)
      expect((await server.call('DELETE', '/secrets/OTHER_ONE')).status).toBe(204)
      expectError(await server.call('DELETE', '/secrets/OTHER_ONE'), 'not_found')
      expectError(await server.call('PUT', '/secrets/a%20b', { value: 'x' }), 'bad_request')
      expectError(await server.call('PUT', '/secrets/LINE', { value: 'a\r\nb' }), 'bad_request')
      expectError(await server.call('PUT', '/secrets/NONE', {}), 'bad_request')
    })

    test('are for keys that may administer, and for their own organization', async () => {
      const headers = await createKey(server, ['personas:write', 'conversations:write'])
      expectError(await server.call('GET', '/secrets', undefined, headers), 'forbidden')
      expectError(await server.call('PUT', '/secrets/TOKEN', { value: 'x' }, headers), 'forbidden')
      const other = await createOrganization(server)
      const them = { 'x-hl-api-key': other.key }
      expect((await server.call('GET', '/secrets', undefined, them)).body).toEqual({ data: [] })
      expectError(await server.call('DELETE', '/secrets/TOKEN', undefined, them), 'not_found')
    })

    test('stand nowhere in the files and in the log', async () => {
      await resultOf(tool({ headers: { 'x-token': '{{secret:TOKEN}}' } }))
      expect(JSON.stringify(server.logged)).not.toContain(SECRET)
      const files = readdirSync(server.place.directory, { recursive: true, encoding: 'utf8', withFileTypes: true })
      for (const file of files.filter((one) => one.isFile())) {
        expect(readFileSync(join(file.parentPath, file.name)).includes(SECRET), file.name).toBe(false)
      }
    })
  })
})

onEveryDatabase('without a key for secrets', (kind) => {
  test('none can be kept, and the answer says why', async () => {
    const place = await kind.create()
    const server = await serve(place)
    const error = expectError(await server.call('PUT', '/secrets/TOKEN', { value: 'x' }), 'unprocessable_entity')
    expect(error.message).toContain('DRAMATIS_SECRET_KEY')
    await server.close()
    await place.remove()
  })
})
