import { connect } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  ADMIN_KEY,
  createConversation,
  createPersona,
  expectError,
  type Json,
  type RunningApp,
  startApp,
} from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'

type Page = { data: Json[]; continuationToken: string | null }

onEveryDatabase('paths, queries and raw bytes', (kind) => {
  let server: RunningApp
  let personaId: string
  let conversationId: string
  beforeAll(async () => {
    server = await startApp(kind)
    personaId = (await createPersona(server))['personaId'] as string
    conversationId = await createConversation(server)
    await createConversation(server)
  })
  afterAll(() => server.close())

  /** What comes back when these bytes are written to a connection, until the server closes it. */
  const raw = (bytes: string | Buffer, options: { endAfter?: boolean } = {}): Promise<string> =>
    new Promise((resolve, reject) => {
      const { hostname, port } = new URL(server.url)
      const socket = connect(Number(port), hostname, () => {
        if (options.endAfter) socket.end(bytes)
        else socket.write(bytes)
      })
      const pieces: Buffer[] = []
      socket.on('data', (piece) => pieces.push(piece))
      socket.on('error', reject)
      socket.on('close', () => resolve(Buffer.concat(pieces).toString('latin1')))
    })
  const head = `host: x\r\nx-hl-api-key: ${ADMIN_KEY}\r\nconnection: close\r\n`
  const parse = (answer: string) => {
    const [top = '', text = ''] = [
      answer.slice(0, answer.indexOf('\r\n\r\n')),
      answer.slice(answer.indexOf('\r\n\r\n') + 4),
    ]
    const [status = '', ...lines] = top.split('\r\n')
    const headers = new Headers(
      lines.map((line): [string, string] => [
        line.slice(0, line.indexOf(':')),
        line.slice(line.indexOf(':') + 1).trim(),
      ]),
    )
    const json = text.startsWith('{') ? text : text.replace(/^[0-9a-f]+\r\n/, '').replace(/\r\n0\r\n\r\n$/, '')
    return {
      status: Number(status.split(' ')[1]),
      headers,
      text: json,
      body: json.startsWith('{') ? JSON.parse(json) : null,
    }
  }

  test.each([
    ['GET', '/conversations/nonsense'],
    ['GET', '/conversations/1'],
    ['GET', '/conversations/01890000-0000-7000-8000-00000000000'],
    ['GET', '/conversations/01890000-0000-7000-8000-00000000000g'],
    ['GET', '/conversations/01890000000070008000000000000000'],
    ['GET', '/conversations/{01890000-0000-7000-8000-000000000000}'],
    ['GET', '/conversations/%00'],
    ['GET', "/conversations/01890000-0000-7000-8000-000000000000'--"],
    ['PATCH', '/conversations/nonsense/chat'],
    ['PATCH', '/conversations/nonsense/set-active'],
    ['DELETE', '/conversations/nonsense'],
    ['GET', '/conversations/persona/nonsense'],
    ['GET', '/conversations/persona/ANY'],
    ['GET', '/personas/nonsense'],
    ['PATCH', '/personas/nonsense'],
    ['POST', '/personas/nonsense'],
    ['DELETE', '/personas/nonsense'],
    ['GET', '/personas/01890000-0000-7000-8000-000000000000/nonsense'],
    ['DELETE', '/api-keys/nonsense'],
    ['POST', '/conversations/01890000-0000-7000-8000-000000000000/runs/nonsense/cancel'],
    ['PATCH', '/conversations/01890000-0000-7000-8000-000000000000/set-score/nonsense'],
  ])('%s %s is refused: not a UUID', async (method, path) => {
    const body =
      method === 'PATCH' || method === 'POST' ? { message: 'x', isActive: true, aiSystem: 0, model: 'x' } : undefined
    const error = expectError(await server.call(method, path, body), 'bad_request')
    expect(error.details).toEqual([
      { field: expect.stringMatching(/Id$|^id$/), issue: expect.stringContaining('UUID') },
    ])
  })

  test('ids may be in upper case', async () => {
    const c = await server.call<Json>('GET', `/conversations/${conversationId.toUpperCase()}`)
    expect(c.body['conversationId']).toBe(conversationId)
    const p = await server.call<Json>('GET', `/personas/${personaId.toUpperCase()}`)
    expect(p.body['personaId']).toBe(personaId)
    const started = await server.call<Json>('POST', '/conversations/persona', {
      personaId: personaId.toUpperCase(),
      personaVersionId: (p.body['personaVersionId'] as string).toUpperCase(),
    })
    expect(started.body).toMatchObject({ personaId, personaVersionId: p.body['personaVersionId'] })
    const listed = await server.call<Page>('GET', `/conversations/persona/${personaId.toUpperCase()}`)
    expect(listed.body.data).toHaveLength(1)
    const same = { isActive: true, conversationId: conversationId.toUpperCase() }
    expect((await server.call('PATCH', `/conversations/${conversationId}/set-active`, same)).status).toBe(200)
  })

  test.each([
    'pageSize=0',
    'pageSize=-1',
    'pageSize=101',
    'pageSize=abc',
    'pageSize=1.5',
    'pageSize=',
    'pageSize=1e9',
    'pageSize=1&pageSize=2',
    'isActive=maybe',
    'isActive=true&isActive=false',
    'includeMessages=si',
    'from=yesterday',
    'from=2024-13-01',
    'from=2024-01-01T25:00:00Z',
    'to=%00',
    'status=a&status=b',
    'status=%00',
    'status=open%00',
    'metadata.a=1&metadata.a=2',
    'metadata.a=%00',
    'metadata.%00=a',
    'continuationToken=a&continuationToken=b',
    'continuationToken=x',
    'continuationToken=%00',
    `continuationToken=${'A'.repeat(43)}`,
    `continuationToken=${'A'.repeat(10_000)}`,
    'status=%ff',
    'metadata.a=%ff',
    'status=%ed%a0%80',
  ])('GET /conversations?%s is refused', async (query) => {
    const error = expectError(await server.call('GET', `/conversations?${query}`), 'bad_request')
    expect(error.details.length).toBeGreaterThan(0)
  })

  test.each([
    'q=%00',
    'tag=%00',
    'tag=a%00',
    'q=%ff',
    'q=a&q=b',
    'pageSize=0',
    'pageSize=x',
    'continuationToken=x',
    `q=${'x'.repeat(3_000)}`,
  ])('GET /personas?%s is refused', async (query) => {
    for (const path of ['/personas', '/personas/minimal']) {
      expectError(await server.call('GET', `${path}?${query}`), 'bad_request')
    }
  })

  test.each([
    'unknown=1',
    'a',
    '&&&',
    '=',
    '?',
    '%20=%20',
    'pageSize=10&unknown[]=1&unknown[]=2',
    'metadata.=x',
    '__proto__=1',
    'constructor=1',
    'continuationToken=',
  ])('GET /conversations?%s is taken as if it had no query', async (query) => {
    expect(await server.call('GET', `/conversations?${query}`)).toMatchObject({
      status: 200,
      body: (await server.call('GET', '/conversations')).body,
    })
  })

  test.each(['%00', 'a%00b', '%ff', '%ed%a0%80', '%', '%zz'])('GET /conversations/user/%s is refused', async (id) => {
    expectError(await server.call('GET', `/conversations/user/${id}`), 'bad_request')
    expectError(await server.call('GET', `/nothing/${id}`), id.includes('%00') ? 'not_found' : 'bad_request')
  })

  test('a continuation token is good for its query and nothing else', async () => {
    const first = await server.call<Page>('GET', '/conversations?pageSize=1&isActive=true')
    const token = first.body.continuationToken as string
    const next = (query: string) => server.call<Page>('GET', `/conversations${query}`)
    expect((await next(`?pageSize=1&isActive=true&continuationToken=${token}`)).status).toBe(200)
    for (const query of [
      `?continuationToken=${token}`,
      `?isActive=false&continuationToken=${token}`,
      `?isActive=true&status=open&continuationToken=${token}`,
      `?isActive=true&metadata.a=b&continuationToken=${token}`,
      `/persona/any?isActive=true&continuationToken=${token}`,
      `/user/somebody?isActive=true&continuationToken=${token}`,
      `?isActive=true&continuationToken=${token}A`,
      `?isActive=true&continuationToken=${token.slice(1)}`,
      `?isActive=true&continuationToken=${token.slice(0, -1)}`,
      `?isActive=true&continuationToken=${token}=`,
      `?isActive=true&continuationToken=${encodeURIComponent(`${token} `)}`,
    ]) {
      expect(expectError(await next(query), 'bad_request', query).details[0]?.field).toBe('continuationToken')
    }
    for (let at = 0; at < token.length; at++) {
      const forged = token.slice(0, at) + (token[at] === 'A' ? 'B' : 'A') + token.slice(at + 1)
      expectError(await next(`?isActive=true&continuationToken=${forged}`), 'bad_request', `forged at ${at}`)
    }
    expectError(await server.call('GET', `/personas?continuationToken=${token}`), 'bad_request')
  })

  test.each([
    ['GET', '/'],
    ['GET', '/nothing'],
    ['GET', '/conversations/a/b/c/d'],
    ['PUT', '/personas'],
    ['DELETE', '/conversations'],
    ['PATCH', '/conversations/persona'],
    ['GET', '/api'],
    ['GET', '/api/api/personas'],
    ['GET', '/apipersonas'],
    ['GET', '/Personas'],
    ['GET', '/.git/config'],
    ['GET', '/docs/../../package.json'],
    ['GET', '/docs/%2e%2e%2f%2e%2e%2fpackage.json'],
    ['GET', '/docs/static/..%2f..%2f..%2fpackage.json'],
    ['POST', '/prompt-runs/run-sync'],
    ['POST', '/audit/conversations'],
    ['POST', '/feedback-report/conversations'],
    ['POST', '/moderations'],
  ])('%s %s is not there', async (method, path) => {
    expectError(await server.call(method, path, method === 'GET' ? undefined : {}), 'not_found')
  })

  test.each([
    ['no HTTP', 'hello\r\n\r\n'],
    ['TLS', Buffer.from('160301020001000001fc0303', 'hex')],
    ['zeros', Buffer.alloc(100)],
    ['another version', `GET / HTTP/9.9\r\n${head}\r\n`],
    ['a header without a name', `GET /personas HTTP/1.1\r\n: x\r\n${head}\r\n`],
    ['NUL in a header', `GET /personas HTTP/1.1\r\nx: a\0b\r\n${head}\r\n`],
    ['headers without end', `GET /personas HTTP/1.1\r\nx: ${'x'.repeat(100_000)}\r\n${head}\r\n`],
    ['two lengths', `POST /conversations HTTP/1.1\r\n${head}content-length: 1\r\ncontent-length: 2\r\n\r\n{}`],
    [
      'a length and chunks',
      `POST /conversations HTTP/1.1\r\n${head}content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
    ],
    ['a length that is no number', `POST /conversations HTTP/1.1\r\n${head}content-length: x\r\n\r\n{}`],
    [
      'a wrong chunk',
      `POST /conversations HTTP/1.1\r\n${head}content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n`,
    ],
  ])('%s over a socket is answered with 400', async (_what, bytes) => {
    expectError(parse(await raw(bytes)), 'bad_request')
  })

  test('a path that is no UTF-8 is answered like any other bad request', async () => {
    expectError(parse(await raw(`GET /conversations/user/%ff HTTP/1.1\r\n${head}\r\n`)), 'bad_request')
    expectError(
      parse(await raw(Buffer.from(`GET /conversations/\xff HTTP/1.1\r\n${head}\r\n`, 'latin1'))),
      'bad_request',
    )
    expectError(parse(await raw(`GET /${'x'.repeat(10_000)} HTTP/1.1\r\n${head}\r\n`)), 'not_found')
  })

  test('a body that breaks off writes nothing, and the server goes on', async () => {
    const before = (await server.call<Page>('GET', '/conversations?pageSize=100')).body
    const body = '{"aiSystem":"rehearsal","model":"rehearsal"}'
    const post = `POST /conversations HTTP/1.1\r\n${head}content-type: application/json\r\ncontent-length: `
    await raw(`${post}${body.length + 1}\r\n\r\n${body}`, { endAfter: true })
    await raw(`${post}${body.length}\r\n\r\n${body.slice(0, -1)}`, { endAfter: true })
    const chunked = `POST /conversations HTTP/1.1\r\n${head}content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n`
    await raw(`${chunked}${body.length.toString(16)}\r\n${body}\r\n`, { endAfter: true })
    expect((await server.call<Page>('GET', '/conversations?pageSize=100')).body).toEqual(before)
    expect(parse(await raw(`${post}${body.length}\r\n\r\n${body}`)).status).toBe(200)
    expect(parse(await raw(`${chunked}${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`)).status).toBe(200)
  })

  test('what was refused is not in the log, and no 500 was needed', () => {
    expect(server.logged.filter((line) => line['status'] === 500 || (line['level'] as number) >= 50)).toEqual([])
    expect(JSON.stringify(server.logged)).not.toContain(ADMIN_KEY)
  })
})
