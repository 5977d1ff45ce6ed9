import { afterAll, beforeAll, expect, test } from 'vitest'
import { createConversation, createPersona, expectError, type Json, type RunningApp, startApp } from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'

type Page = { data: Json[] }

const GENERAL = { aiSystem: 'rehearsal', model: 'rehearsal' }
const NAMED = { ...GENERAL, personaName: 'A name', personaDescription: 'A description' }
const nest = (levels: number, inner: unknown = 1): unknown => (levels === 0 ? inner : { a: nest(levels - 1, inner) })

onEveryDatabase('bodies', (kind) => {
  let server: RunningApp
  let personaId: string
  let conversationId: string
  let messageId: string

  beforeAll(async () => {
    server = await startApp(kind)
    personaId = (await createPersona(server))['personaId'] as string
    conversationId = await createConversation(server)
    const conversation = await server.call<{ chatMessages: { messageId: string }[] }>(
      'GET',
      `/conversations/${conversationId}`,
    )
    messageId = conversation.body.chatMessages[1]?.messageId as string
  })
  afterAll(() => server.close())

  /** Everything that a request could have written. */
  const readAll = async () => ({
    conversation: (await server.call('GET', `/conversations/${conversationId}`)).body,
    conversations: (await server.call<Page>('GET', '/conversations?pageSize=100')).body,
    personas: (await server.call<Page>('GET', '/personas?pageSize=100')).body,
    persona: (await server.call('GET', `/personas/${personaId}`)).body,
  })
  const refusing = async (act: () => Promise<void>) => {
    const before = await readAll()
    await act()
    expect(await readAll()).toEqual(before)
  }
  const path = (template: string) =>
    template
      .replace(':c', `/conversations/${conversationId}`)
      .replace(':p', `/personas/${personaId}`)
      .replace(':m', messageId)
  const send = async (
    method: string,
    to: string,
    body: string | Uint8Array<ArrayBuffer>,
    type: string | null = 'application/json',
  ) => {
    const response = await fetch(server.url + to, {
      method,
      headers: {
        'x-hl-api-key': 'test-key-that-is-long-enough-for-anything',
        ...(type === null ? {} : { 'content-type': type }),
      },
      // A string would be given a content type of its own.
      body: typeof body === 'string' ? new TextEncoder().encode(body) : body,
    })
    const text = await response.text()
    return { status: response.status, headers: response.headers, text, body: text === '' ? null : JSON.parse(text) }
  }

  const everyRoute: [string, string][] = [
    ['POST', '/personas'],
    ['PATCH', ':p'],
    ['POST', ':p'],
    ['POST', '/conversations/persona'],
    ['POST', '/conversations'],
    ['PATCH', ':c/chat'],
    ['PATCH', ':c/chat-sse'],
    ['PATCH', ':c/chat-http2'],
    ['PATCH', ':c/set-active'],
    ['PATCH', ':c/set-metadata'],
    ['PATCH', ':c/set-conversation-name'],
    ['PATCH', ':c/set-conversation-status'],
    ['PATCH', ':c/update'],
    ['PATCH', ':c/set-score'],
    ['PATCH', ':c/set-score/:m'],
    ['POST', '/api-keys'],
  ]

  test.each(everyRoute)('that are no JSON object are refused by %s %s', async (method, template) => {
    await refusing(async () => {
      for (const body of [
        '{',
        '{"a":1',
        "{'a':1}",
        '{"a":1,}',
        'null',
        '[]',
        '[{}]',
        '"text"',
        '1',
        'true',
        'NaN',
        'hello',
        '{} {}',
        '\u0000',
      ]) {
        expectError(await send(method, path(template), body), 'bad_request', body)
      }
      expectError(await send(method, path(template), '{"a":"\\ud8"}'), 'bad_request')
      expectError(
        await send(method, path(template), new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])),
        'bad_request',
      )
      // A surrogate in UTF-8, and an overlong slash.
      expectError(
        await send(
          method,
          path(template),
          Buffer.concat([Buffer.from('{"a":"'), Buffer.from([0xed, 0xa0, 0x80]), Buffer.from('"}')]),
        ),
        'bad_request',
      )
      expectError(
        await send(
          method,
          path(template),
          Buffer.concat([Buffer.from('{"a":"'), Buffer.from([0xc0, 0xaf]), Buffer.from('"}')]),
        ),
        'bad_request',
      )
    })
  })

  test.each([
    ['POST', '/personas', ['personaName', 'personaDescription', 'aiSystem', 'model']],
    ['POST', '/conversations/persona', ['personaId']],
    ['PATCH', ':c/chat', ['message']],
    ['PATCH', ':c/chat-sse', ['message']],
    ['POST', ':c/chat-http2', ['message']],
  ])('without a required field are refused by %s %s, naming each', async (method, template, required) => {
    const whole: Json = { ...NAMED, personaId, message: 'Hi' }
    await refusing(async () => {
      const nothing = expectError(await server.call(method, path(template), {}), 'bad_request')
      expect(nothing.details.map(({ field }) => field).sort()).toEqual([...required].sort())
      const empty = expectError(await send(method, path(template), '', null), 'bad_request')
      expect(empty).toEqual(nothing)
      for (const field of required) {
        const { [field]: _left, ...rest } = whole
        for (const body of [
          rest,
          { ...rest, [field]: null },
          { ...rest, [field]: '' },
          { ...rest, [field]: [] },
          { ...rest, [field]: {} },
          { ...rest, [field]: true },
        ]) {
          if (template === ':p') delete (body as Json)['personaId']
          const error = expectError(
            await server.call(method, path(template), body),
            'bad_request',
            `${field}: ${JSON.stringify(body)}`,
          )
          expect(new Set(error.details.map((detail) => detail.field))).toEqual(new Set([field]))
        }
      }
    })
  })

  test.each<[string, string, Json, string]>([
    ['POST', '/personas', { ...NAMED, personaName: 'x'.repeat(51) }, 'personaName'],
    ['POST', '/personas', { ...NAMED, personaName: `${'😀'.repeat(25)}x` }, 'personaName'],
    ['POST', '/personas', { ...NAMED, personaName: ' \t\n ' }, 'personaName'],
    ['POST', '/personas', { ...NAMED, personaName: 7 }, 'personaName'],
    ['POST', '/personas', { ...NAMED, personaDescription: 'x'.repeat(501) }, 'personaDescription'],
    ['POST', '/personas', { ...NAMED, personaGreeting: 'x'.repeat(501) }, 'personaGreeting'],
    ['POST', '/personas', { ...NAMED, personaTags: 'x'.repeat(2_001) }, 'personaTags'],
    ['POST', '/personas', { ...NAMED, personaTags: ['a'] }, 'personaTags'],
    ['POST', '/personas', { ...NAMED, imageUrl: 'x'.repeat(2_001) }, 'imageUrl'],
    ['POST', '/personas', { ...NAMED, model: 'x'.repeat(51) }, 'model'],
    ['POST', '/personas', { ...NAMED, isSecret: 'true' }, 'isSecret'],
    ['POST', '/personas', { ...NAMED, isActive: 1 }, 'isActive'],
    ['POST', '/personas', { ...NAMED, aiSystem: 'skynet' }, 'aiSystem'],
    ['POST', '/personas', { ...NAMED, aiSystem: 7 }, 'aiSystem'],
    ['POST', '/personas', { ...NAMED, aiSystem: -1 }, 'aiSystem'],
    ['POST', '/personas', { ...NAMED, aiSystem: 1.5 }, 'aiSystem'],
    ['POST', '/personas', { ...NAMED, dataspaceIds: ['x'] }, 'dataspaceIds.0'],
    ['POST', '/personas', { ...NAMED, personaMetadata: [] }, 'personaMetadata'],
    ['POST', '/personas', { ...NAMED, personaMetadata: 'x' }, 'personaMetadata'],
    ['POST', '/personas', { ...NAMED, personaConfiguration: [] }, 'personaConfiguration'],
    ['PATCH', ':p', { personaName: '' }, 'personaName'],
    ['PATCH', ':p', { personaName: 'x'.repeat(51) }, 'personaName'],
    ['PATCH', ':p', { isActive: 'no' }, 'isActive'],
    ['PATCH', ':p', { aiSystem: 'skynet' }, 'aiSystem'],
    ['PATCH', ':p', { model: ' ' }, 'model'],
    ['PATCH', ':p', { defaultVersionId: 'x' }, 'defaultVersionId'],
    ['PATCH', ':p', { personaId: '01890000-0000-7000-8000-000000000000' }, 'personaId'],
    ['POST', '/conversations/persona', { personaId: 'x' }, 'personaId'],
    ['POST', '/conversations/persona', { personaId: 7 }, 'personaId'],
    ['POST', '/conversations', { ...GENERAL, messages: {} }, 'messages'],
    ['POST', '/conversations', { ...GENERAL, messages: ['x'] }, 'messages.0'],
    ['POST', '/conversations', { ...GENERAL, messages: [{ role: 'robot', content: 'x' }] }, 'messages.0.role'],
    ['POST', '/conversations', { ...GENERAL, messages: [{ role: 'user', content: '' }] }, 'messages.0.content'],
    ['POST', '/conversations', { ...GENERAL, messages: [{ role: 'user' }] }, 'messages.0.content'],
    [
      'POST',
      '/conversations',
      {
        ...GENERAL,
        messages: [
          { role: 'user', content: 'x' },
          { role: 'system', content: 'x' },
        ],
      },
      'messages.1.role',
    ],
    [
      'POST',
      '/conversations',
      { ...GENERAL, systemMessage: 'x', messages: [{ role: 'system', content: 'x' }] },
      'messages.0.role',
    ],
    ['POST', '/conversations', { ...GENERAL, message: '  ' }, 'message'],
    ['POST', '/conversations', { ...GENERAL, message: 7 }, 'message'],
    ['POST', '/conversations', { ...GENERAL, stream: 'yes' }, 'stream'],
    ['POST', '/conversations', { ...GENERAL, replacements: 'x' }, 'replacements'],
    ['POST', '/conversations', { ...GENERAL, metadata: [1] }, 'metadata'],
    ['POST', '/conversations', { ...GENERAL, externalUserId: 7 }, 'externalUserId'],
    ['POST', '/conversations', { ...GENERAL, externalUserId: 'x'.repeat(257) }, 'externalUserId'],
    ['POST', '/conversations', { ...GENERAL, externalUserId: `${'😀'.repeat(128)}x` }, 'externalUserId'],
    ['POST', '/conversations', { ...GENERAL, dataspaceIds: 'x' }, 'dataspaceIds'],
    ['PATCH', ':c/chat', { message: '   \n\t\u00a0\u2003' }, 'message'],
    ['PATCH', ':c/chat', { message: 'x'.repeat(100_001) }, 'message'],
    ['PATCH', ':c/chat-sse', { message: `${'😀'.repeat(50_000)}x` }, 'message'],
    ['PATCH', ':c/chat-http2', { message: { text: 'x' } }, 'message'],
    ['PATCH', ':c/set-active', {}, 'isActive'],
    ['PATCH', ':c/set-active', { isActive: 'false' }, 'isActive'],
    [
      'PATCH',
      ':c/set-active',
      { isActive: false, conversationId: '01890000-0000-7000-8000-000000000000' },
      'conversationId',
    ],
    ['PATCH', ':c/set-active', { isActive: false, conversationId: 'x' }, 'conversationId'],
    ['PATCH', ':c/set-metadata', { metadata: 'x' }, 'metadata'],
    ['PATCH', ':c/set-conversation-name', { conversationName: 7 }, 'conversationName'],
    ['PATCH', ':c/set-conversation-name', { conversationName: 'x'.repeat(10_000) }, 'conversationName'],
    ['PATCH', ':c/set-conversation-status', { conversationStatus: '' }, 'conversationStatus'],
    ['PATCH', ':c/set-conversation-status', { conversationStatus: 7 }, 'conversationStatus'],
    ['PATCH', ':c/update', { conversationName: 'Half', isActive: 'x' }, 'isActive'],
    ['PATCH', ':c/update', { conversationName: 'Half', metadata: { a: nest(8) } }, 'metadata'],
    ['PATCH', ':c/set-score', { score: 'x' }, 'score'],
    ['PATCH', ':c/set-score', { score: 0.5 }, 'score'],
    ['PATCH', ':c/set-score/:m', { score: 1, tags: 'x' }, 'tags'],
  ])('%s %s %j are refused for their %s', async (method, template, body, field) => {
    await refusing(async () => {
      const error = expectError(await server.call(method, path(template), body), 'bad_request')
      expect(new Set(error.details.map((detail) => detail.field))).toEqual(new Set([field]))
    })
  })

  test('with NUL anywhere are refused', async () => {
    await refusing(async () => {
      const bodies: [string, string, string][] = [
        ['POST', '/personas', JSON.stringify({ ...NAMED, personaName: 'a\0b' })],
        ['POST', '/personas', JSON.stringify({ ...NAMED, personaText: '\0' })],
        ['POST', '/personas', JSON.stringify({ ...NAMED, personaMetadata: { 'a\0': 1 } })],
        [
          'POST',
          '/personas',
          JSON.stringify({ ...NAMED, personaConfiguration: { variables: { a: { default: ['\0'] } } } }),
        ],
        ['POST', '/conversations', JSON.stringify({ ...GENERAL, metadata: { a: [{ b: 'x\0' }] } })],
        ['POST', '/conversations', JSON.stringify({ ...GENERAL, externalUserId: '\0' })],
        ['POST', '/conversations', JSON.stringify({ ...GENERAL, messages: [{ role: 'user', content: 'a\0' }] })],
        ['POST', '/conversations/persona', JSON.stringify({ personaId, replacements: { name: '\0' } })],
        ['PATCH', ':c/chat', JSON.stringify({ message: 'Hi\0' })],
        ['PATCH', ':c/set-conversation-name', JSON.stringify({ conversationName: '\0' })],
        ['PATCH', ':c/set-conversation-status', JSON.stringify({ conversationStatus: 'a\0' })],
        ['PATCH', ':c/set-score', JSON.stringify({ scoreText: '\0' })],
        ['PATCH', ':c/set-score/:m', JSON.stringify({ score: 1, tags: ['\0'] })],
        ['POST', '/api-keys', JSON.stringify({ name: 'a\0' })],
      ]
      for (const [method, template, body] of bodies) {
        const error = expectError(await send(method, path(template), body), 'bad_request', body)
        expect(error.details, body).toHaveLength(1)
      }
    })
  })

  test('with __proto__ or too many levels are refused', async () => {
    await refusing(async () => {
      for (const body of [
        '{"aiSystem":"rehearsal","model":"rehearsal","__proto__":{"isAdmin":true}}',
        '{"aiSystem":"rehearsal","model":"rehearsal","metadata":{"__proto__":{"a":1}}}',
        '{"aiSystem":"rehearsal","model":"rehearsal","metadata":{"\\u005f_proto__":{"a":1}}}',
        `{"aiSystem":"rehearsal","model":"rehearsal","metadata":${JSON.stringify(nest(9))}}`,
        `{"aiSystem":"rehearsal","model":"rehearsal","metadata":{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}}`,
        `{"aiSystem":"rehearsal","model":"rehearsal","unknown":${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}}`,
        '['.repeat(500_000),
      ]) {
        expectError(await send('POST', '/conversations', body), 'bad_request', body.slice(0, 80))
      }
    })
    expect(({} as Json)['isAdmin']).toBeUndefined()
  })

  test('over the limit are refused, and the server goes on', async () => {
    await refusing(async () => {
      const message = 'x'.repeat(1024 * 1024)
      expectError(await server.call('PATCH', `/conversations/${conversationId}/chat`, { message }), 'payload_too_large')
      expectError(await server.call('POST', '/personas', { ...NAMED, personaText: message }), 'payload_too_large')
      expectError(await send('POST', '/conversations', ' '.repeat(1024 * 1024 + 1)), 'payload_too_large')
      expectError(await send('POST', '/conversations', message + message, 'text/plain'), 'payload_too_large')
      const replacements = { a: 'x'.repeat(256 * 1024) }
      expectError(await server.call('POST', '/conversations/persona', { personaId, replacements }), 'bad_request')
    })
    expect((await fetch(`${server.url}/healthz`)).status).toBe(200)
  })

  test('may use every limit to the last unit', async () => {
    const wide = 'é'.repeat(32_768 - 4)
    const created = await server.call<Json>('POST', '/conversations', {
      ...GENERAL,
      configuration: { rehearsal: { text: 'ok' } },
      metadata: { a: wide },
      externalUserId: '😀'.repeat(128),
    })
    expect(created.body).toMatchObject({ metadata: { a: wide }, externalUserId: '😀'.repeat(128) })
    const over = { ...GENERAL, metadata: { a: `${wide}é` } }
    expectError(await server.call('POST', '/conversations', over), 'bad_request')
    const deepest = { ...GENERAL, metadata: nest(8) }
    expect((await server.call('POST', '/conversations', deepest)).body).toMatchObject({ metadata: nest(8) })

    const chat = (message: string) =>
      server.call('PATCH', `/conversations/${created.body['conversationId']}/chat`, { message })
    expect((await chat('x'.repeat(100_000))).status).toBe(200)
    expect((await chat('😀'.repeat(50_000))).status).toBe(200)
    expect((await chat('.')).status).toBe(200)
    const named = {
      ...NAMED,
      personaName: '😀'.repeat(25),
      personaDescription: '漢'.repeat(500),
      personaTags: 'x'.repeat(2_000),
    }
    expect((await server.call('POST', '/personas', named)).body).toMatchObject({ personaName: '😀'.repeat(25) })
  })

  test('keep what is strange and allowed, and lose half surrogates', async () => {
    const metadata = { constructor: 'c', toString: [], '': 0, 'a.b': null, $: '\\u0000', ключ: '🤷‍♀️', n: -0.5e-7 }
    const created = await send(
      'POST',
      '/conversations',
      JSON.stringify({ ...GENERAL, metadata, unknownField: { x: 1 } }),
    )
    expect(created.status).toBe(200)
    const id = (created.body as Json)['conversationId']
    expect((await server.call('GET', `/conversations/${id}`)).body['metadata']).toEqual(metadata)
    const halved = await send(
      'PATCH',
      `/conversations/${id}/update`,
      '{"conversationName":"a\\ud800b\\udc00","metadata":{"\\udfff":"\\ud83d\\ude00"}}',
    )
    expect(halved.body).toMatchObject({ conversationName: 'a\ufffdb\ufffd', metadata: { '\ufffd': '😀' } })
    expect((await server.call('GET', `/conversations/${id}`)).body).toEqual(halved.body)
  })
})
