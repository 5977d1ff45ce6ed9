import { once } from 'node:events'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { PATIENCE } from '../../server/src/http/connections/patience.ts'
import { ADMIN_KEY, createConversation, type Json, parseSse, type RunningApp, startApp } from '../support/app.ts'
import { databaseKinds } from '../support/databases.ts'
import { answersIn, createOpener, type RawAnswer, type RawConnection } from '../support/raw-http.ts'

/** Enough for whoever means it, also on a busy machine, and little for whoever waits. */
const IMPATIENT = {
  ...PATIENCE,
  headMs: 3_000,
  bodyMs: 2_000,
  bodyBytesPerSecond: 2_000,
  idleMs: 2_500,
  lingerMs: 1_500,
  unreadMs: 3_000,
  lookEveryMs: 50,
}

const KEY = `x-hl-api-key: ${ADMIN_KEY}\r\n`
const JSON_TYPE = 'content-type: application/json\r\n'
/** Pieces without an end. */
function* endless(piece: string): Generator<string> {
  for (;;) yield piece
}

function expectRefusal(answer: RawAnswer | undefined, status: number, message: RegExp): void {
  expect(answer?.status).toBe(status)
  expect(answer?.headers.get('content-type')).toMatch(/^application\/json/)
  expect(answer?.headers.get('x-request-id')).toMatch(/\S/)
  const { error } = JSON.parse(answer?.body ?? '{}') as { error: Json }
  expect(error).toEqual({ code: expect.any(String), message: expect.stringMatching(message), details: [] })
}

const kind = databaseKinds[0]
if (!kind) throw new Error('there is no database')

// At the same time, because most of it is waiting.
describe.concurrent('connections', () => {
  let server: RunningApp
  let open: () => RawConnection
  beforeAll(async () => {
    server = await startApp(kind, {}, { patience: IMPATIENT })
    open = createOpener(server)
  })
  afterAll(() => server.close())
  const isAnswered = (received: string) => answersIn(received).length > 0

  test('one that says nothing is closed without a word', async () => {
    expect(await open().closed()).toBe('')
  })

  test.each([
    ['stops in the middle', 'GET /healthz HTTP/1.1\r\nhost: x\r\nx-a: ', null],
    ['never ends, a letter at a time', 'GET /healthz HTTP/1.1\r\nhost: x\r\nx-a: ', 'a'],
    ['never ends, a header at a time', 'GET /healthz HTTP/1.1\r\nhost: x\r\n', 'x-a: b\r\n'],
  ])('a head that %s is given up', async (_what, beginning, piece) => {
    const connection = open()
    connection.write(beginning)
    const dripping = piece === null ? null : connection.drip(endless(piece), 60)
    const [answer] = answersIn(await connection.closed())
    expectRefusal(answer, 400, /did not come in time/)
    await dripping
  })

  test('what is no HTTP is answered and hung up on, also when the client holds on', async () => {
    const connection = open()
    connection.write('NONSENSE\r\n\r\n')
    const [answer] = answersIn(await connection.closed())
    expectRefusal(answer, 400, /not a valid HTTP request/)
    expect(answer?.headers.get('connection')).toBe('close')
  })

  test.each([
    ['in one length', 'content-length: 1000000\r\n', 'a'],
    ['in chunks', 'transfer-encoding: chunked\r\n', '1\r\na\r\n'],
  ])('a body that comes a byte at a time is given up, %s', async (_what, header, piece) => {
    const connection = open()
    connection.write(`POST /personas HTTP/1.1\r\nhost: x\r\n${KEY}${JSON_TYPE}${header}\r\n`)
    const dripping = connection.drip(endless(piece), 60)
    const [answer, ...others] = answersIn(await connection.closed())
    expectRefusal(answer, 400, /too slowly/)
    expect(answer?.headers.get('connection')).toBe('close')
    expect(others).toEqual([])
    await dripping
    const requestId = answer?.headers.get('x-request-id')
    expect(server.logged.filter((line) => line['msg'] === 'request' && line['requestId'] === requestId)).toMatchObject([
      { route: '/personas', status: 400, refusedBy: 'slow_body' },
    ])
  })

  test('a body that stops short of its end is given up, however much of it has come', async () => {
    const connection = open()
    const size = 900_000
    connection.write(`POST /personas HTTP/1.1\r\nhost: x\r\n${KEY}${JSON_TYPE}content-length: ${size}\r\n\r\n`)
    connection.write('x'.repeat(size - 1))
    expectRefusal(answersIn(await connection.closed())[0], 400, /too slowly/)
  })

  test('a large body that comes slowly but steadily is read', async () => {
    const connection = open()
    // Three times as long as a body that stands still may take.
    const pieces = Array.from({ length: 80 }, () => ' '.repeat(500))
    const length = pieces.length * 500 + 2
    connection.write(`PATCH /nothing HTTP/1.1\r\nhost: x\r\n${KEY}${JSON_TYPE}content-length: ${length}\r\n\r\n`)
    await connection.drip(pieces, 75)
    expect(connection.received()).toBe('')
    connection.write('{}')
    expectRefusal(answersIn(await connection.until(isAnswered))[0], 404, /there is no PATCH/)
    connection.socket.destroy()
  })

  test.each([
    ['no key', 'POST /personas', '', 401],
    ['a wrong key', 'POST /personas', 'x-hl-api-key: wrong\r\n', 401],
    ['too large a body', 'POST /personas', KEY, 413],
  ])('a request with %s is answered at once, and its body is not waited for', async (_what, target, key, status) => {
    const connection = open()
    connection.write(`${target} HTTP/1.1\r\nhost: x\r\n${key}${JSON_TYPE}content-length: 5000000\r\n\r\n{`)
    const [answer] = answersIn(await connection.until(isAnswered))
    expectRefusal(answer, status, /\S/)
    expect(answer?.headers.get('connection')).toBe('close')
    const dripping = connection.drip(endless('a'), 60)
    await connection.closed()
    await dripping
  })

  test('who sends a large body to its end sees why it was refused', async () => {
    for (let n = 0; n < 10; n++) {
      const connection = open()
      connection.socket.pause()
      connection.write(`POST /personas HTTP/1.1\r\nhost: x\r\n${KEY}${JSON_TYPE}content-length: 4000000\r\n\r\n`)
      for (let sent = 0; sent < 40; sent++) {
        connection.write(Buffer.alloc(100_000, ' '))
        await new Promise(setImmediate)
      }
      connection.socket.resume()
      expect(answersIn(await connection.until(isAnswered))[0]?.status).toBe(413)
      connection.socket.end()
      await connection.closed()
    }
  })

  test('nothing is done that comes behind a refused request', async () => {
    const connection = open()
    connection.write(`POST /personas HTTP/1.1\r\nhost: x\r\n${JSON_TYPE}content-length: 10\r\n\r\n{    `)
    await connection.until(isAnswered)
    const persona = JSON.stringify({
      personaName: 'Smuggled',
      personaDescription: 'd',
      personaText: 't',
      aiSystem: 'rehearsal',
      model: 'rehearsal',
    })
    const second = `POST /personas HTTP/1.1\r\nhost: x\r\n${KEY}${JSON_TYPE}content-length: ${persona.length}\r\n\r\n${persona}`
    connection.write(`    }${second}`)
    expect(answersIn(await connection.closed())).toHaveLength(1)
    const { body } = await server.call<{ data: Json[] }>('GET', '/personas?q=Smuggled')
    expect(body.data).toEqual([])
    // Alone it is done.
    expect((await server.call('POST', '/personas', persona)).status).toBe(200)
  })

  test('a request that is not refused, and whose body is not read, does not hold the connection', async () => {
    const connection = open()
    connection.write('GET /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n')
    const dripping = connection.drip(endless('a'), 60)
    expect(answersIn(await connection.closed()).map(({ status }) => status)).toEqual([200])
    await dripping
  })

  test('one that is kept alive is closed when nothing more is asked', async () => {
    const connection = open()
    connection.write('GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n')
    await connection.until(isAnswered)
    connection.write('GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n')
    expect(answersIn(await connection.closed()).map(({ status }) => status)).toEqual([200, 200])
  })

  test('a stream may take longer than all that', async () => {
    const id = await createConversation(server, { text: 'a b c d e f g h i j k l', tokensPerSecond: 2 })
    const answer = await server.call('POST', `/conversations/${id}/chat-sse`, { message: 'Hi' })
    expect(parseSse(answer.text)).toHaveLength(14)
    expect(parseSse(answer.text).at(-1)?.data).toBe('[DONE]')
    const silent = await createConversation(server, { text: 'late', delayMs: 5_000 })
    const late = await server.call('POST', `/conversations/${silent}/chat`, { message: 'Hi' })
    expect(late.status).toBe(200)
  })

  test('what is no HTTP behind a stream does not get into it', async () => {
    const id = await createConversation(server, { text: 'a b c d e f g h', tokensPerSecond: 5 })
    const connection = open()
    const body = '{"message":"Hi"}'
    const head = `POST /conversations/${id}/chat-sse HTTP/1.1\r\nhost: x\r\n${KEY}${JSON_TYPE}`
    connection.write(`${head}content-length: ${body.length}\r\n\r\n${body}`)
    await connection.until((received) => received.includes('data: '))
    connection.write('NONSENSE\r\n\r\n')
    expect(await connection.closed()).not.toContain('400 Bad Request')
  })

  test('a reader that takes nothing is given up', async ({ expect }) => {
    const text = Array.from({ length: 60_000 }, (_, n) => n % 10).join(' ')
    const id = await createConversation(server, { text })
    const connection = open()
    connection.socket.pause()
    const body = '{"message":"Hi"}'
    const head = `POST /conversations/${id}/chat-sse HTTP/1.1\r\nhost: x\r\n${KEY}${JSON_TYPE}`
    connection.write(`${head}content-length: ${body.length}\r\n\r\n${body}`)
    const socket = await connection.atServer
    await expect.poll(() => socket.bytesWritten).toBeGreaterThan(100_000)
    if (!socket.closed) await once(socket, 'close')
    // The turn is none of the reader's.
    const runs = await server.call<{ data: Json[] }>('GET', `/conversations/${id}/runs`)
    expect(runs.body.data).toMatchObject([{ status: 'completed' }])
    connection.socket.destroy()
  })

  test('as many requests may wait on one as a client needs, and no more', async () => {
    const id = await createConversation(server, { text: 'late', delayMs: 3_000 })
    const connection = open()
    const body = '{"message":"Hi"}'
    const first = `POST /conversations/${id}/chat HTTP/1.1\r\nhost: x\r\n${KEY}${JSON_TYPE}content-length: ${body.length}\r\n\r\n${body}`
    connection.write(first + 'GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n'.repeat(40))
    const answers = answersIn(await connection.until((received) => answersIn(received).length === 41))
    expect(answers.map(({ status }) => status)).toEqual([
      ...Array.from({ length: 33 }, () => 200),
      ...Array.from({ length: 8 }, () => 429),
    ])
    expect(answers.at(-1)?.headers.get('retry-after')).toBe('1')
    connection.write('GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n')
    await connection.until((received) => answersIn(received).length === 42)
    expect(answersIn(connection.received()).at(-1)?.status).toBe(200)
    connection.socket.destroy()
  })

  test('who asks first whether its body is wanted is told, or refused without it', async () => {
    const head = (key: string) =>
      `POST /personas HTTP/1.1\r\nhost: x\r\n${key}${JSON_TYPE}content-length: 2\r\nexpect: 100-continue\r\n\r\n`
    const wanted = open()
    wanted.write(head(KEY))
    expect(await wanted.until((received) => received.includes('\r\n\r\n'))).toBe('HTTP/1.1 100 Continue\r\n\r\n')
    wanted.write('{}')
    expect(await wanted.until((received) => answersIn(received).length === 2)).toContain('HTTP/1.1 400')
    wanted.socket.destroy()
    const refused = open()
    refused.write(head(''))
    expect(answersIn(await refused.closed()).map(({ status }) => status)).toEqual([401])
  })

  test('a server that stops answers in the shape of all errors', async ({ expect }) => {
    const stopping = await startApp(kind, { DRAMATIS_SHUTDOWN_GRACE_MS: '5000' })
    const id = await createConversation(stopping, { text: 'a b c d e f', tokensPerSecond: 2 })
    const connection = createOpener(stopping)()
    connection.write('GET /personas HTTP/1.1\r\nhost: x\r\n')
    const turn = stopping.call('POST', `/conversations/${id}/chat`, { message: 'Hi' })
    const running = async () => /dramatis_running_turns 1/.test((await stopping.call('GET', '/metrics')).text)
    await expect.poll(running).toBe(true)
    const closed = stopping.close()
    await expect.poll(() => stopping.app.http.server.listening).toBe(false)
    connection.write(`${KEY}\r\n`)
    expectRefusal(answersIn(await connection.until(isAnswered))[0], 503, /is stopping/)
    expect((await turn).status).toBe(200)
    await closed
  })
})

test('there are not more connections than there may be, and the others go on', async () => {
  const server = await startApp(kind, { DRAMATIS_CONNECTIONS: '3' })
  const open = createOpener(server)
  const [one, two, three] = [open(), open(), open()]
  for (const connection of [one, two, three]) await connection.atServer
  const { socket: fourth } = open()
  await once(fourth, 'end')
  fourth.destroy()
  two.socket.destroy()
  three.socket.destroy()
  await Promise.all([two.closed(), three.closed()])
  one.write(`GET /metrics HTTP/1.1\r\nhost: x\r\n${KEY}\r\n`)
  const answer = await one.until((received) => answersIn(received).length > 0)
  expect(answer).toContain('dramatis_refused_connections_total{reason="connections"} 1')
  expect(answer).toContain('dramatis_connections 1')
  one.socket.destroy()
  await server.close()
})
