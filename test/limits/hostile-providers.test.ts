import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { connect } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type RunningApp, startApp } from '../support/app.ts'
import { databaseKinds, onEveryDatabase } from '../support/databases.ts'
import { chatChunk, chatReply, type ProviderServer, startProviderServer } from '../support/provider-server.ts'

const STREAM = { 'content-type': 'text/event-stream' }

onEveryDatabase('a hostile provider', (kind) => {
  let provider: ProviderServer
  let server: RunningApp
  let inner: Server
  const reached: string[] = []

  beforeAll(async () => {
    provider = await startProviderServer()
    inner = createServer((request, response) => {
      reached.push(`${request.method} ${request.url} ${String(request.headers['x-api-key'] ?? '')}`)
      response.writeHead(403).end('inner-secret-of-the-metadata-service')
    })
    await new Promise<void>((resolve) => inner.listen(0, '127.0.0.1', resolve))
    server = await startApp(kind, {
      OPENAI_COMPATIBLE_BASE_URL: `${provider.url}/v1`,
      OPENAI_COMPATIBLE_MODEL: 'm',
      ANTHROPIC_API_KEY: 'anthropic-key-of-the-operator',
      ANTHROPIC_BASE_URL: `${provider.url}/v1`,
    })
  })
  afterAll(async () => {
    await server.close()
    await provider.close()
    inner.close()
  })

  async function turn(aiSystem: string) {
    const started = await server.call('POST', '/conversations', { aiSystem, model: 'm' })
    const path = `/conversations/${started.body['conversationId']}/chat`
    return server.call('PATCH', path, { message: 'Hello' })
  }

  test.each(['toString', 'constructor', '__proto__', 'valueOf'])(
    'that ends for the reason "%s" loses nothing of anybody',
    async (reason) => {
      const odd = [chatChunk([{ index: 0, delta: { content: 'x' }, finish_reason: null }])]
      odd.push(chatChunk([{ index: 0, delta: {}, finish_reason: reason }]), 'data: [DONE]\n\n')
      provider.script([{ headers: STREAM, pieces: odd }])
      const others = Array.from({ length: 5 }, () =>
        server.call('POST', '/conversations', { aiSystem: 'rehearsal', model: 'rehearsal', message: 'Hello' }),
      )
      expect((await turn('openai-compatible')).status).toBe(200)
      for (const answer of await Promise.all(others)) expect(answer.status).toBe(200)
    },
  )

  test('that sends calls without end is read in proportion to them', async () => {
    const calls = Array.from({ length: 60_000 }, () => ({ function: {} }))
    const pieces = [chatChunk([{ index: 0, delta: { tool_calls: calls }, finish_reason: null }])]
    provider.script([{ headers: STREAM, pieces: [...pieces, ...(chatReply(['Well.']).pieces ?? [])] }])
    expect((await turn('openai-compatible')).status).toBe(200)
  })

  test('that says a message in many levels has failed, and that is all', async () => {
    const deep = `${'['.repeat(30_000)}${']'.repeat(30_000)}`
    for (const more of [{}, { headers: { 'content-length': '100000' }, ending: 'cut' as const }]) {
      provider.always({ status: 400, pieces: [deep], ...more })
      expect((await turn('openai-compatible')).status).toBeGreaterThanOrEqual(400)
    }
    provider.always(null)
    expect(server.logged.filter(({ level }) => Number(level) >= 50)).toEqual([])
  })

  test.each([302, 307])('that answers %d sends nobody to the inside, and gets no key there', async (status) => {
    const location = `http://127.0.0.1:${(inner.address() as AddressInfo).port}/inner`
    const redirect = { status, headers: { location } }
    provider.always(redirect)
    for (const aiSystem of ['anthropic', 'openai-compatible']) {
      const answer = await turn(aiSystem)
      expect(answer.status).toBe(502)
      expect(answer.text).not.toContain('inner-secret')
    }
    provider.always(null)
    expect(reached).toEqual([])
  })

  test.each(['anthropic', 'openai-compatible'])('that never ends an error is left, as %s', async (aiSystem) => {
    const endless = {
      status: 400,
      headers: { 'content-type': 'application/json' },
      pieces: [Buffer.alloc(1_048_576, 'x')],
    }
    provider.always({ ...endless, ending: 'hang' })
    expect((await turn(aiSystem)).status).toBeGreaterThanOrEqual(400)
    provider.always(null)
  })

  test('that replies without end is stopped', async () => {
    const megabyte = chatChunk([{ index: 0, delta: { content: 'x'.repeat(1_048_576) }, finish_reason: null }])
    provider.always({ headers: STREAM, pieces: Array.from({ length: 40 }, () => megabyte), ending: 'hang' })
    const answer = await turn('openai-compatible')
    expect(answer.status).toBe(502)
    expect(answer.text).toMatch(/sent too much/)
  })
})

test('a request that calls itself HTTP/2.0 on a connection of HTTP/1 is refused', async () => {
  const server = await startApp(databaseKinds[0] as (typeof databaseKinds)[number])
  for (const version of ['2.0', '0.9']) {
    const { hostname, port } = new URL(server.url)
    const socket = connect(Number(port), hostname)
    socket.write(`GET /healthz HTTP/${version}\r\nhost: a\r\nconnection: keep-alive\r\n\r\n`)
    let text = ''
    for await (const piece of socket) {
      text += String(piece)
      if (text.includes('}}')) break
    }
    expect(text).toMatch(/^HTTP\/1\.1 400 [\s\S]*"code":"bad_request"/)
  }
  await server.close()
})
