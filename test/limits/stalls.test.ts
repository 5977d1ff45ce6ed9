import { afterAll, beforeAll, expect, test } from 'vitest'
import { ADMIN_KEY, type RunningApp, serve } from '../support/app.ts'
import { onEveryDatabase, type TestDatabase } from '../support/databases.ts'
import { createDistantClient, type DistantClient, type Received } from '../support/distant-client.ts'
import { longestStall } from '../support/stall-meter.ts'

/** The longest that nobody else is served, in calibrating loops: 100 ms where one takes 8. */
const MOST_LOOPS = 12

const MB10 = 10 * 1_024 * 1_024
const model = { aiSystem: 'rehearsal', model: 'rehearsal' }
const persona = { personaName: 'a', personaDescription: 'b', ...model }
/** The longest message, and as many of them as a body has room for. */
const LONGEST = 'é'.repeat(100_000)
const history = Array.from({ length: 10 }, (_, i) => ({
  role: i % 2 ? 'assistant' : 'user',
  content: 'x'.repeat(100_000),
}))
const variables = Array.from({ length: 60_000 }, (_, i) => `{{v${i.toString(36)}}}`)
  .join('')
  .slice(0, 500_000)
const members = (count: number, value: string) => Array.from({ length: count }, (_, i) => `"k${i}":${value}`).join()

/** Requests that cost much before anything is done for them: method, path, body. */
const BODIES: [string, string, string][] = [
  ['a persona with the longest text', '/personas', JSON.stringify({ ...persona, personaText: 'é'.repeat(500_000) })],
  ['a persona of opening braces', '/personas', JSON.stringify({ ...persona, personaText: '{'.repeat(500_000) })],
  ['a persona of variables', '/personas', JSON.stringify({ ...persona, personaText: variables })],
  ['a text of variables to fill in', '/conversations', JSON.stringify({ ...model, systemMessage: variables })],
  [
    '500,000 wrong items',
    '/conversations',
    `{"aiSystem":"rehearsal","model":"m","messages":[${'1,'.repeat(500_000)}1]}`,
  ],
  ['340,000 wrong ids', '/personas', `{"dataspaceIds":[${'"",'.repeat(340_000)}1]}`],
  [
    'wrong members',
    '/personas',
    JSON.stringify({ ...persona, personaConfiguration: { stop: new Array(340_000).fill('') } }),
  ],
  ['members of any name', '/personas', `{${members(80_000, '1')}}`],
  ['half a million brackets', '/personas', `{"a":${'['.repeat(500_000)}${']'.repeat(500_000)}}`],
  ['many small objects and an escape', '/personas', `{"a":["\\u0041",${'{},'.repeat(340_000)}{}]}`],
  [
    'a secret that does not end',
    '/personas',
    JSON.stringify({
      ...persona,
      personaConfiguration: {
        tools: [
          {
            type: 'http',
            name: 'x',
            description: 'd',
            inputSchema: { type: 'object' },
            method: 'GET',
            url: 'http://example.org',
            headers: { a: `{{secret:${' '.repeat(3_900)}` },
          },
        ],
      },
    }),
  ],
  ['a history of 1 MiB', '/conversations', JSON.stringify({ ...model, messages: history })],
  [
    'a history of 10,000 messages',
    '/conversations',
    JSON.stringify({ ...model, messages: new Array(10_000).fill({ role: 'user', content: 'x'.repeat(50) }) }),
  ],
]

/** Files of the largest size. */
const FILES: [string, string, () => Buffer][] = [
  ['JSON of brackets', 'application/json', () => Buffer.from(`${'['.repeat(MB10 / 2)}${']'.repeat(MB10 / 2)}`)],
  ['JSON of empty lists', 'application/json', () => Buffer.from(`[${'[],'.repeat(MB10 / 3 - 2)}[]]`)],
  ['JSON of one string', 'application/json', () => Buffer.from(`"${'x'.repeat(MB10 - 2)}"`)],
  ['text', 'text/plain', () => Buffer.from('é,'.repeat(MB10 / 3 - 1))],
  [
    'PDF with a page a word',
    'application/pdf',
    () => Buffer.from(`%PDF-1.4${'/Type/Pages/Count 1 '.repeat(MB10 / 20 - 1)}`),
  ],
  ['PDF of brackets', 'application/pdf', () => Buffer.from(`%PDF-1.4(${'\\('.repeat(MB10 / 2 - 50)}`)],
  [
    'PDF of dictionaries of spaces',
    'application/pdf',
    () => Buffer.from(`%PDF-1.4\n${`obj<</Filter${' '.repeat(4_070)}>>stream\nx\nendstream\n`.repeat(2_400)}`),
  ],
  ['PDF of trees of pages', 'application/pdf', () => Buffer.from(`%PDF-1.4${'/Type /Pages '.repeat(MB10 / 13 - 10)}`)],
  [
    'PDF of escaped letters',
    'application/pdf',
    () => Buffer.from(`%PDF-1.4${'#41'.repeat(MB10 / 3 - 10)}stream\nx\nendstream`),
  ],
  ['PDF of one long text', 'application/pdf', () => Buffer.from(`%PDF-1.4<${'a'.repeat(MB10 - 100)}`)],
  ['PDF of spaces', 'application/pdf', () => Buffer.from(`%PDF-1.4/Type${' '.repeat(MB10 - 100)}`)],
]

onEveryDatabase('nobody waits long for', (kind) => {
  let place: TestDatabase
  let server: RunningApp
  let client: DistantClient
  const ids = { conversation: '', persona: '', talk: '', run: '', message: '' }

  const send = (
    method: string,
    path: string,
    body?: string | Uint8Array,
    type = 'application/json',
  ): Promise<Received> =>
    client.send({
      method,
      url: server.url + path,
      headers: { 'x-hl-api-key': ADMIN_KEY, ...(body !== undefined && { 'content-type': type }) },
      ...(body !== undefined && { body }),
    })
  const memberOf = ({ text, end }: Received, name: string) =>
    new RegExp(`"${name}":"([^"]+)"`).exec(text + end)?.[1] ?? ''

  beforeAll(async () => {
    place = await kind.create()
    server = await serve(place)
    client = createDistantClient()
    const create = (path: string, body: object) => send('POST', path, JSON.stringify(body))
    ids.persona = memberOf(await create('/personas', persona), 'personaId')
    for (let i = 0; i < 24; i++) {
      await create(`/personas/${ids.persona}`, { ...model, personaText: `${i}`.padEnd(500_000, 'é') })
      await create('/personas', { ...persona, personaText: 'é'.repeat(500_000) })
      await create('/conversations', { ...model, messages: history, externalUserId: 'ada' })
    }
    const long = await create('/conversations', { ...model, externalUserId: 'ada', message: LONGEST })
    ids.conversation = memberOf(long, 'conversationId')
    for (let i = 0; i < 60; i++) await create(`/conversations/${ids.conversation}/chat`, { message: LONGEST })
    const talk = await create('/conversations', {
      ...model,
      message: 'x',
      configuration: { rehearsal: { text: 'word '.repeat(40_000) } },
    })
    ids.talk = memberOf(talk, 'conversationId')
    ids.run = memberOf(await send('GET', `/conversations/${ids.talk}/runs`), 'runId')
    ids.message = memberOf(await send('GET', `/conversations/${ids.talk}`), 'messageId')
    const feedback = { comments: 'é'.repeat(10_000), tags: new Array(100).fill('é'.repeat(256)) }
    for (let i = 0; i < 100; i++) {
      await send('PATCH', `/conversations/${ids.talk}/set-score/${ids.message}`, JSON.stringify(feedback))
    }
  })
  afterAll(async () => {
    await client.close()
    await server.close()
    await place.remove()
  })

  /** Does it up to three times, and takes the best: what else the process does may come in between. */
  async function expectNoStall(act: () => Promise<Received>): Promise<Received> {
    let received: Received | undefined
    let least = Number.POSITIVE_INFINITY
    for (let tries = 0; tries < 3 && least > MOST_LOOPS; tries++) {
      const stall = await longestStall(async () => {
        received = await act()
      })
      least = Math.min(least, stall.loops)
    }
    expect(least).toBeLessThanOrEqual(MOST_LOOPS)
    return received as Received
  }

  test.each(BODIES)('%s', async (_, path, body) => {
    expect((await expectNoStall(() => send('POST', path, body))).status).toBeLessThan(500)
  })

  test.each(FILES)('a file: %s', async (_, type, bytes) => {
    const file = bytes()
    const { status } = await expectNoStall(() => send('POST', `/conversations/${ids.talk}/attachments`, file, type))
    expect([200, 400]).toContain(status)
  })

  test.each([
    ['a persona with 24 versions of 1 MB', () => `/personas/${ids.persona}`, 20e6],
    ['a list of personas', () => '/personas?pageSize=100', 4e6],
    ['a list with messages', () => '/conversations?includeMessages=true&pageSize=100', 4e6],
    ['a conversation of 60 of the longest messages', () => `/conversations/${ids.conversation}`, 12e6],
    ['a message with all the feedback that it may have', () => `/conversations/${ids.talk}`, 7e6],
    ['an export', () => `/conversations/${ids.conversation}/export`, 12e6],
    ['an export as Markdown', () => `/conversations/${ids.conversation}/export?format=markdown`, 12e6],
    ['an export for fine-tuning', () => `/conversations/${ids.conversation}/export?format=openai`, 12e6],
    ['an export of a user', () => '/users/ada/export', 30e6],
    ['the events of a long reply', () => `/conversations/${ids.talk}/runs/${ids.run}/events`, 5e6],
    ['the runs of a long conversation', () => `/conversations/${ids.conversation}/runs?pageSize=100`, 1e4],
  ])('%s', async (_, path, least) => {
    const answer = await expectNoStall(() => send('GET', path()))
    expect(answer.status).toBe(200)
    expect(answer.bytes).toBeGreaterThan(least)
  })

  test('a change that answers a long conversation', async () => {
    const path = `/conversations/${ids.conversation}/set-active`
    const answer = await expectNoStall(() => send('PATCH', path, '{"isActive":true}'))
    expect(answer.bytes).toBeGreaterThan(12e6)
  })

  test('a turn of the longest message', async () => {
    const body = JSON.stringify({ message: LONGEST })
    const { status } = await expectNoStall(() => send('POST', `/conversations/${ids.conversation}/chat-sse`, body))
    expect(status).toBe(200)
  })
})
