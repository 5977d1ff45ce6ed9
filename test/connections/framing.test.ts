import { afterAll, beforeAll, expect, test } from 'vitest'
import { ADMIN_KEY, createOrganization, type Json, type RunningApp, startApp } from '../support/app.ts'
import { createLong, SMALL_ARCHIVE } from '../support/archive.ts'
import { databaseKinds } from '../support/databases.ts'
import { answersIn, createOpener, type RawAnswer, type RawConnection } from '../support/raw-http.ts'

const kind = databaseKinds[0]
if (!kind) throw new Error('there is no database')
const KEY = `x-hl-api-key: ${ADMIN_KEY}`

let server: RunningApp
let open: () => RawConnection
let otherKey: string
beforeAll(async () => {
  server = await startApp(kind)
  open = createOpener(server)
  otherKey = (await createOrganization(server)).key
})
afterAll(() => server.close())

/** Sends a head of these lines, and reads the answer. */
async function send(first: string, ...lines: string[]): Promise<RawAnswer | undefined> {
  const connection = open()
  connection.write(`${[first, ...lines].join('\r\n')}\r\n\r\n`)
  const received = await connection.until((text) => answersIn(text).length > 0)
  connection.socket.destroy()
  return answersIn(received)[0]
}

function expectBadRequest(answer: RawAnswer | undefined): void {
  expect(answer?.status).toBe(400)
  const { error } = JSON.parse(answer?.body ?? '{}') as { error: Json }
  expect(error).toEqual({ code: 'bad_request', message: expect.stringMatching(/\S/), details: [] })
  expect(answer?.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/)
  expect(answer?.headers.get('cache-control')).toBe('private, no-store')
}

test.each([
  ['two hosts', ['host: a.example', 'host: b.example']],
  ['the same host twice', ['host: a.example', 'Host: a.example']],
  ['no host', []],
  ['an empty host', ['host:']],
  ['a host with a user', ['host: user@a.example']],
  ['a host with a path', ['host: a.example/b']],
  ['a host with a space', ['host: a.example b.example']],
  ['two hosts in one', ['host: a.example, b.example']],
  ['a host that is markup', ['host: <script>']],
  ['a host with a port that is none', ['host: a.example:http']],
  ['an address that does not end', ['host: [::1']],
  ['the key twice', ['host: a.example', KEY, KEY]],
  ['two tokens', ['host: a.example', `authorization: Bearer ${ADMIN_KEY}`, `Authorization: Bearer ${ADMIN_KEY}`]],
  ['two lengths', ['host: a.example', 'content-length: 0', 'content-length: 5']],
  ['a length beside chunks', ['host: a.example', 'content-length: 5', 'transfer-encoding: chunked']],
  ['a length that is none', ['host: a.example', 'content-length: +5']],
  ['an encoding that is no end', ['host: a.example', 'transfer-encoding: chunked, identity']],
  ['a name with a space behind it', ['host: a.example', 'content-length : 5']],
  ['a line that goes on', ['host: a.example', 'x-a: b', ' c: d']],
])('a request with %s is answered 400', async (_what, lines) => {
  expectBadRequest(await send('POST /healthz HTTP/1.1', ...lines))
})

test('two different keys are refused, the same one twice is not', async () => {
  const different = await send('GET /personas HTTP/1.1', 'host: x', KEY, `authorization: Bearer ${otherKey}`)
  expect(different?.status).toBe(401)
  const same = await send('GET /personas HTTP/1.1', 'host: x', KEY, `authorization: Bearer ${ADMIN_KEY}`)
  expect(same?.status).toBe(200)
  // What a proxy in front asks for is none of ours.
  expect((await send('GET /personas HTTP/1.1', 'host: x', KEY, 'authorization: Basic dTpw'))?.status).toBe(200)
})

test.each([
  ['GET /healthz HTTP/1.1', 'host: a.example', 200],
  ['GET /healthz HTTP/1.1', 'host: a_b.example:8787', 200],
  ['GET /healthz HTTP/1.1', 'host: [2001:db8::1]:8787', 200],
  ['GET /healthz HTTP/1.0', 'x-a: b', 200],
  ['GET http://a.example/healthz HTTP/1.1', 'host: A.example', 200],
  ['GET http://a.example/api/healthz?a=b HTTP/1.1', 'host: a.example', 200],
  ['GET http://b.example/healthz HTTP/1.1', 'host: a.example', 400],
  ['GET http://a.example:81/healthz HTTP/1.1', 'host: a.example', 400],
  ['GET ftp://a.example/healthz HTTP/1.1', 'host: a.example', 400],
  ['GET healthz HTTP/1.1', 'host: a.example', 400],
] as const)('%s with %s is %i', async (first, host, status) => {
  const answer = await send(first, host)
  expect(answer?.status).toBe(status)
  if (status === 400) expectBadRequest(answer)
})

test('an expectation that is none of ours is not answered in another shape', async () => {
  expect((await send('GET /healthz HTTP/1.1', 'host: x', 'expect: miracles'))?.status).toBe(200)
})

test('no header says under which address links are given out but the host', async () => {
  const archiving = await startApp(kind, { ...SMALL_ARCHIVE, DRAMATIS_TRUSTED_PROXIES: '127.0.0.1' })
  const { conversationId } = await createLong(archiving, 150, { aiSystem: 'rehearsal', model: 'rehearsal' })
  await archiving.app.archiver.round()
  const spoofed = { 'x-forwarded-host': 'evil.example', 'x-forwarded-proto': 'gopher', forwarded: 'host=evil.example' }
  const answer = await archiving.call('GET', `/conversations/${conversationId}`, undefined, spoofed)
  expect(answer.body['areChatMessagesInBlob']).toBe(true)
  expect(answer.body['chatMessagesBlobUri']).toMatch(new RegExp(`^${archiving.url}/`))
  await archiving.close()
})

test('a request has the id that it brings, if that can be printed', async () => {
  const idFor = async (...lines: string[]) => {
    const answer = await send('GET /personas HTTP/1.1', 'host: x', KEY, ...lines)
    return answer?.headers.get('x-request-id')
  }
  const long = 'a'.repeat(128)
  for (const id of ['order-4711', '"{}" <b>', long]) {
    expect(await idFor(`x-request-id: ${id}`)).toBe(id)
    expect(server.logged.at(-1)).toMatchObject({ msg: 'request', requestId: id })
  }
  for (const id of [`${long}a`, 'gr\xfcezi', 'a\tb', '']) {
    expect(await idFor(`x-request-id: ${id}`)).toMatch(/^[0-9a-f]{8}-[0-9a-f-]{27}$/)
  }
  expect((await send('GET /personas HTTP/1.1', 'host: x', 'x-request-id: mine'))?.headers.get('x-request-id')).toBe(
    'mine',
  )
  expect((await send('GET /%zz HTTP/1.1', 'host: x', 'x-request-id: mine'))?.headers.get('x-request-id')).toBe('mine')
})
