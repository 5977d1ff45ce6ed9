import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { type ClientHttp2Session, connect as connectHttp2, type IncomingHttpHeaders } from 'node:http2'
import { request as httpsRequest } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ADMIN_KEY, type Json, parseSse, type RunningApp, startApp } from '../support/app.ts'
import { expectArrayWrites } from '../support/array-writes.ts'
import { onEveryDatabase } from '../support/databases.ts'

type Item = { choice: { message: { content: string } } }

const TEXT = 'One two three four five.'
const TOKENS = ['One', ' two', ' three', ' four', ' five.', '']
const PAGE = 'https://page.example'
const KEY = { 'x-hl-api-key': ADMIN_KEY }

onEveryDatabase('TLS', (kind) => {
  let server: RunningApp
  let url: string
  let session: ClientHttp2Session
  const directory = mkdtempSync(join(tmpdir(), 'dramatis-tls-'))
  const files = { cert: join(directory, 'cert.pem'), key: join(directory, 'key.pem') }

  beforeAll(async () => {
    const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1']
    const out = ['-keyout', files.key, '-out', files.cert, '-days', '2']
    execFileSync(
      'openssl',
      ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', ...out, ...subject],
      { stdio: 'ignore' },
    )
    server = await startApp(kind, {
      DRAMATIS_TLS_CERT: files.cert,
      DRAMATIS_TLS_KEY: files.key,
      DRAMATIS_CORS_ORIGINS: PAGE,
    })
    url = server.url.replace('http:', 'https:')
    session = connectHttp2(url, { rejectUnauthorized: false })
  })
  afterAll(async () => {
    session.close()
    await server.close()
    rmSync(directory, { recursive: true, force: true })
  })

  type Got = { status: number; headers: IncomingHttpHeaders; pieces: string[]; body: Json }
  /** A request over HTTP/2, and the DATA frames of its answer. */
  const http2 = (method: string, path: string, body?: unknown, headers: Record<string, string> = KEY): Promise<Got> =>
    new Promise((resolve, reject) => {
      const type = body === undefined ? {} : { 'content-type': 'application/json' }
      const stream = session.request({ ':method': method, ':path': path, ...type, ...headers })
      const pieces: string[] = []
      let answered: IncomingHttpHeaders & { ':status'?: number } = {}
      stream.on('response', (got) => {
        answered = got as typeof answered
      })
      stream.on('data', (piece: Buffer) => pieces.push(piece.toString('utf8')))
      stream.on('error', reject)
      stream.on('end', () => {
        const text = pieces.join('')
        resolve({
          status: answered[':status'] ?? 0,
          headers: answered,
          pieces,
          body: text.startsWith('{') ? JSON.parse(text) : {},
        })
      })
      if (body === undefined) stream.end()
      else stream.end(typeof body === 'string' ? body : JSON.stringify(body))
    })
  const startConversation = async (script: Json) => {
    const body = { aiSystem: 'rehearsal', model: 'rehearsal', configuration: { rehearsal: script } }
    const started = await http2('POST', '/conversations', body)
    expect(started.status).toBe(200)
    return started.body['conversationId'] as string
  }

  test('chooses HTTP/2 or HTTP/1.1 as the client asks', async () => {
    for (const [offered, chosen] of [
      [['h2', 'http/1.1'], 'h2'],
      [['http/1.1'], 'http/1.1'],
      [['h2'], 'h2'],
    ] as const) {
      const protocol = await new Promise((resolve, reject) => {
        const socket = connectTls(
          {
            port: Number(new URL(url).port),
            host: '127.0.0.1',
            ALPNProtocols: [...offered],
            rejectUnauthorized: false,
          },
          () => {
            resolve(socket.alpnProtocol)
            socket.destroy()
          },
        )
        socket.on('error', reject)
      })
      expect(protocol).toBe(chosen)
    }
  })

  test.each([0, 2])('notices a reader over HTTP/2 that resets its stream after %d events', async (events) => {
    const id = await startConversation({
      text: 'a b c d e f g h',
      tokensPerSecond: 5,
      delayMs: events === 0 ? 30_000 : 0,
    })
    const path = `/conversations/${id}/chat-sse?onDisconnect=cancel`
    const type = { 'content-type': 'application/json' }
    const stream = session.request({ ':method': 'PATCH', ':path': path, ...type, ...KEY })
    stream.on('error', () => {})
    stream.end('{"message":"Hi"}')
    let seen = 0
    stream.on('data', () => {
      if (++seen === events) stream.close(8)
    })
    const runs = async () => (await http2('GET', `/conversations/${id}/runs`)).body['data'] as { status: string }[]
    await expect.poll(async () => (await runs()).length).toBe(1)
    if (events === 0) stream.close(8)
    await expect.poll(async () => (await runs())[0]?.status).toBe('cancelled')
  })

  test('answers the whole API over HTTP/2', async () => {
    const id = await startConversation({ text: 'Hello.' })
    const chat = await http2('PATCH', `/conversations/${id}/chat`, { message: 'Hi' })
    expect(chat.body).toMatchObject({ choices: [{ message: { content: 'Hello.' } }] })
    expect(chat.headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/)
    const { 'x-hl-api-key': key } = KEY
    expect((await http2('GET', `/api/conversations/${id}`, undefined, { authorization: `Bearer ${key}` })).status).toBe(
      200,
    )
    expect((await http2('PATCH', `/conversations/${id}/update`)).status).toBe(200)
    expect((await http2('GET', '/healthz', undefined, {})).status).toBe(200)
    const many = await Promise.all(Array.from({ length: 50 }, () => http2('GET', `/conversations/${id}`)))
    expect(new Set(many.map(({ status }) => status))).toEqual(new Set([200]))
    const refused = [
      [401, await http2('GET', '/conversations', undefined, {})],
      [404, await http2('GET', '/nothing')],
      [400, await http2('POST', '/conversations', '{')],
      [400, await http2('GET', '/conversations/%00')],
      [413, await http2('POST', '/conversations', 'x'.repeat(1024 * 1024 + 1))],
      [415, await http2('POST', '/conversations', 'x', { ...KEY, 'content-type': 'text/plain' })],
    ] as const
    for (const [status, answer] of refused) {
      expect(answer.status).toBe(status)
      expect(answer.body).toMatchObject({
        error: { code: expect.any(String), message: expect.any(String), details: expect.any(Array) },
      })
      expect(answer.headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/)
    }
    expect((await http2('DELETE', `/conversations/${id}`)).status).toBe(204)
  })

  test.each([0, 40])('streams over HTTP/2, a frame for each item, at %i tokens a second', async (tokensPerSecond) => {
    const id = await startConversation({ text: TEXT, tokensPerSecond })
    const array = await http2('PATCH', `/conversations/${id}/chat-http2`, { message: 'Hi' }, { ...KEY, origin: PAGE })
    expect(array.headers['content-type']).toMatch(/^application\/json/)
    expect(array.headers['access-control-allow-origin']).toBe(PAGE)
    expect(array.headers['x-dramatis-run-id']).toMatch(/^[0-9a-f-]{36}$/)
    expectArrayWrites(array.pieces, TOKENS)
    const sse = await http2('PATCH', `/conversations/${id}/chat-sse`, { message: 'Hi' }, { ...KEY, origin: PAGE })
    expect(sse.headers['content-type']).toMatch(/^text\/event-stream/)
    expect(sse.headers['access-control-allow-origin']).toBe(PAGE)
    const events = parseSse(sse.pieces.join(''))
    expect(events.slice(0, -1).map(({ data }) => (JSON.parse(data) as Item).choice.message.content)).toEqual(TOKENS)
    expect(events.at(-1)?.data).toBe('[DONE]')
  })

  test('fails over HTTP/2 as over HTTP/1.1', async () => {
    const id = await startConversation({ text: 'a b', failAtToken: 0, failure: 'cut' })
    for (const endpoint of ['chat', 'chat-sse', 'chat-http2']) {
      const answer = await http2('PATCH', `/conversations/${id}/${endpoint}`, { message: 'Hi' })
      expect([answer.status, answer.body]).toMatchObject([
        502,
        { error: { code: 'provider_error', conversationId: id } },
      ])
    }
  })

  test('goes on when a stream of a connection is given up', async () => {
    const id = await startConversation({ text: 'one two three four five six', tokensPerSecond: 40 })
    await new Promise<void>((resolve, reject) => {
      const stream = session.request({
        ':method': 'PATCH',
        ':path': `/conversations/${id}/chat-http2`,
        'content-type': 'application/json',
        ...KEY,
      })
      stream.on('error', reject)
      stream.on('close', resolve)
      stream.once('data', () => stream.close())
      stream.end('{"message":"Hi"}')
    })
    const last = async () =>
      ((await http2('GET', `/conversations/${id}`)).body['chatMessages'] as Json[]).at(-1)?.['content']
    await expect.poll(last).toBe('one two three four five six')
  })

  test('writes an array over HTTP/1.1 too', async () => {
    const id = await startConversation({ text: TEXT, tokensPerSecond: 40 })
    const { version, writes } = await new Promise<{ version: string; writes: string[] }>((resolve, reject) => {
      const headers = { ...KEY, 'content-type': 'application/json' }
      const options = { method: 'PATCH', headers, rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] }
      const request = httpsRequest(`${url}/conversations/${id}/chat-http2`, options, (response) => {
        const pieces: string[] = []
        response.on('data', (piece: Buffer) => pieces.push(piece.toString('utf8')))
        response.on('end', () => resolve({ version: response.httpVersion, writes: pieces }))
      })
      request.on('error', reject)
      request.end('{"message":"Hi"}')
    })
    expect(version).toBe('1.1')
    expectArrayWrites(writes, TOKENS)
  })

  test('plain HTTP on the port of TLS does not stop the server', async () => {
    await expect(fetch(`${server.url}/healthz`)).rejects.toThrow()
    expect((await http2('GET', '/healthz', undefined, {})).status).toBe(200)
  })
})
