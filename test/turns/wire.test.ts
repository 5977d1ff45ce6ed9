import { once } from 'node:events'
import { connect as connectTcp } from 'node:net'
import { Worker } from 'node:worker_threads'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ADMIN_KEY, createConversation, type Json, parseSse, type RunningApp, startApp } from '../support/app.ts'
import { expectArrayWrites } from '../support/array-writes.ts'
import { onEveryDatabase } from '../support/databases.ts'

type Item = Json & {
  choice: { finish_reason: string | null; message: { role?: string; content: string } }
  messageId: string
  runId: string
}

const TEXT = 'One two three four five.'
const TOKENS = ['One', ' two', ' three', ' four', ' five.', '']
const PAGE = 'https://page.example'

/**
 * A thread that sends a request for each message and tells what each read of the answer has brought. As a page that draws
 * what it has read, it is busy for a moment after each.
 */
const BUSY_READER = `
  const { parentPort, workerData } = require('node:worker_threads')
  const { host, port, request } = workerData
  const idle = new Int32Array(new SharedArrayBuffer(4))
  parentPort.on('message', () => {
    const reads = []
    require('node:net').connect(port, host, function () { this.write(request) })
      .on('data', (read) => {
        reads.push(String(read))
        Atomics.wait(idle, 0, 0, 6)
      })
      .on('close', () => parentPort.postMessage(reads))
  })
`

/** The chunks of a chunked body, as the server wrote them. */
function chunksOf(body: Buffer): string[] {
  const chunks: string[] = []
  for (let at = 0; at < body.length; ) {
    const lineEnd = body.indexOf('\r\n', at)
    const size = Number.parseInt(body.subarray(at, lineEnd).toString(), 16)
    if (size === 0) break
    chunks.push(body.subarray(lineEnd + 2, lineEnd + 2 + size).toString('utf8'))
    at = lineEnd + 2 + size + 2
  }
  return chunks
}

/** Whole events in each chunk: those that came at the same time stand in one, those that did not do not. */
function expectSseChunks(chunks: string[], runId: string, atOnce: boolean): void {
  expect(chunks.length).toBeGreaterThanOrEqual(atOnce ? 1 : TOKENS.length - 1)
  for (const chunk of chunks) expect(chunk).toMatch(/^(id: .+\ndata: \{.+\}\n\n)*(data: \[DONE\]\n\n)?$/)
  const events = parseSse(chunks.join(''))
  expect(events.pop()?.data).toBe('[DONE]')
  expect(events.map(({ id }) => id)).toEqual(TOKENS.map((_, n) => `${runId}:${n}`))
  expect(events.map(({ data }) => (JSON.parse(data) as Item).choice.message.content)).toEqual(TOKENS)
}

onEveryDatabase('streams over a socket', (kind) => {
  let server: RunningApp
  beforeAll(async () => {
    server = await startApp(kind, { DRAMATIS_CORS_ORIGINS: `${PAGE},https://other.example` })
  })
  afterAll(() => server.close())

  /** The head of an answer and the bytes behind it, in HTTP/1.1 without any client between. */
  const raw = (path: string, body: string, headers = ''): Promise<{ status: number; headers: Headers; body: Buffer }> =>
    new Promise((resolve, reject) => {
      const { hostname, port } = new URL(server.url)
      const socket = connectTcp(Number(port), hostname, () =>
        socket.write(
          `PATCH ${path} HTTP/1.1\r\nhost: x\r\nx-hl-api-key: ${ADMIN_KEY}\r\nconnection: close\r\n${headers}` +
            `content-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
        ),
      )
      const pieces: Buffer[] = []
      socket.on('data', (piece) => pieces.push(piece))
      socket.on('error', reject)
      socket.on('close', () => {
        const all = Buffer.concat(pieces)
        const end = all.indexOf('\r\n\r\n')
        const [status = '', ...lines] = all.subarray(0, end).toString().split('\r\n')
        const pairs = lines.map((line): [string, string] => [
          line.slice(0, line.indexOf(':')),
          line.slice(line.indexOf(':') + 1).trim(),
        ])
        resolve({ status: Number(status.split(' ')[1]), headers: new Headers(pairs), body: all.subarray(end + 4) })
      })
    })

  // So slowly that also a busy machine does not send two at once.
  test.each([0, 10])('server-sent events go out whole as they come, at %i tokens a second', async (tokensPerSecond) => {
    const id = await createConversation(server, { text: TEXT, tokensPerSecond })
    const answer = await raw(`/conversations/${id}/chat-sse`, '{"message":"Hi"}')
    expect(answer.status).toBe(200)
    expect(answer.headers.get('content-type')).toMatch(/^text\/event-stream/)
    expect(answer.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/)
    expect(answer.headers.get('cache-control')).toContain('no-store')
    expectSseChunks(chunksOf(answer.body), answer.headers.get('x-dramatis-run-id') ?? '', tokensPerSecond === 0)
  })

  test.each([0, 40])(
    'the items of an array and its bracket are a chunk each, at %i tokens a second',
    async (tokensPerSecond) => {
      const id = await createConversation(server, { text: TEXT, tokensPerSecond })
      const answer = await raw(`/conversations/${id}/chat-http2`, '{"message":"Hi"}')
      expect(answer.headers.get('content-type')).toMatch(/^application\/json/)
      expectArrayWrites(chunksOf(answer.body), TOKENS)
    },
  )

  test('the last item of an array and its bracket come as reads of their own', async () => {
    const id = await createConversation(server, { text: 'Yes' })
    const { hostname, port } = new URL(server.url)
    const body = '{"message":"Hi"}'
    const request =
      `PATCH /conversations/${id}/chat-http2 HTTP/1.1\r\nhost: x\r\nx-hl-api-key: ${ADMIN_KEY}\r\nconnection: close\r\n` +
      `content-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`
    const reader = new Worker(BUSY_READER, { eval: true, workerData: { host: hostname, port: Number(port), request } })
    const replies = 30
    let alone = 0
    for (let n = 0; n < replies; n++) {
      reader.postMessage('send')
      const [reads] = (await once(reader, 'message')) as [string[]]
      const places = ['"Yes"', '"stop"', '\r\n]\r\n'].map((text) => reads.findIndex((read) => read.includes(text)))
      expect(places).not.toContain(-1)
      if (new Set(places).size === places.length) alone++
    }
    await reader.terminate()
    // On a machine that stands still for longer than the pause a reader finds what came meanwhile at once.
    expect(alone).toBeGreaterThan(replies / 2)
  })

  test('what is cut off in the middle of a character by the model goes out whole', async () => {
    const text = `${'😀'.repeat(50)}漢字 é\u0000\ud800!`
    const id = await createConversation(server, { text: text.replaceAll('\u0000', '').toWellFormed() })
    const answer = await raw(`/conversations/${id}/chat-sse`, '{"message":"Hi 😀"}')
    for (const chunk of chunksOf(answer.body)) expect(chunk).not.toContain('\ufffd\ufffd')
    const items = parseSse(chunksOf(answer.body).join(''))
      .slice(0, -1)
      .map(({ data }) => JSON.parse(data) as Item)
    expect(items.map(({ choice }) => choice.message.content).join('')).toBe(`${'😀'.repeat(50)}漢字 é\ufffd!`)
  })

  test('an empty reply is one item that is the first and the last', async () => {
    const id = await createConversation(server, { text: '' })
    const sse = await server.call('PATCH', `/conversations/${id}/chat-sse`, { message: 'Hi' })
    const [only, done] = parseSse(sse.text)
    expect(JSON.parse(only?.data ?? '')).toMatchObject({
      choice: { finish_reason: 'stop', message: { role: 'assistant', content: '' } },
    })
    expect(done?.data).toBe('[DONE]')
    const array = await server.call<Item[]>('PATCH', `/conversations/${id}/chat-http2`, { message: 'Hi' })
    expect(array.body).toMatchObject([
      { choice: { finish_reason: 'stop', message: { role: 'assistant', content: '' } } },
    ])
  })

  test.each(['length', 'content_filter'])('finish_reason %s comes through everywhere', async (finishReason) => {
    const id = await createConversation(server, { text: 'a b', finishReason })
    const whole = await server.call('PATCH', `/conversations/${id}/chat`, { message: 'Hi' })
    expect(whole.body).toMatchObject({ choices: [{ finish_reason: finishReason }] })
    const array = await server.call<Item[]>('PATCH', `/conversations/${id}/chat-http2`, { message: 'Hi' })
    expect(array.body.at(-1)?.choice.finish_reason).toBe(finishReason)
  })

  test('pages of the named origins may read streams, answers and errors', async () => {
    const id = await createConversation(server, { text: TEXT })
    const c = `/conversations/${id}`
    const call = (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) =>
      server.call(method, path, body, { origin: PAGE, ...headers })
    for (const answer of [
      await call('GET', c),
      await call('PATCH', `${c}/chat`, { message: 'Hi' }),
      await call('PATCH', `${c}/chat-sse`, { message: 'Hi' }),
      await call('PATCH', `${c}/chat-http2`, { message: 'Hi' }),
      await call('POST', '/conversations', { aiSystem: 0, model: 'default', message: 'Hi', stream: true }),
      await call('GET', '/nothing'),
      await call('POST', '/conversations', '{'),
      await call('GET', c, undefined, { 'x-hl-api-key': 'wrong' }),
    ]) {
      expect(answer.headers.get('access-control-allow-origin')).toBe(PAGE)
      expect(answer.headers.get('access-control-allow-credentials')).toBeNull()
      expect(answer.headers.get('access-control-expose-headers')).toMatch(/x-request-id/)
      expect(answer.headers.get('access-control-expose-headers')).toMatch(/x-dramatis-run-id/)
      expect(answer.headers.get('vary')).toMatch(/origin/i)
    }
    const foreign = await server.call('PATCH', `${c}/chat-sse`, { message: 'Hi' }, { origin: 'https://evil.example' })
    expect(foreign.headers.get('access-control-allow-origin')).toBeNull()
    for (const method of ['GET', 'POST', 'PATCH', 'DELETE']) {
      const preflight = await fetch(`${server.url}${c}/chat-sse`, {
        method: 'OPTIONS',
        headers: {
          origin: PAGE,
          'access-control-request-method': method,
          'access-control-request-headers': 'content-type,x-hl-api-key,idempotency-key,last-event-id',
        },
      })
      expect(preflight.status).toBeLessThan(300)
      expect(preflight.headers.get('access-control-allow-origin')).toBe(PAGE)
      expect(preflight.headers.get('access-control-allow-methods')).toContain(method)
      expect(preflight.headers.get('access-control-allow-headers')).toMatch(/x-hl-api-key/)
    }
  })
})
