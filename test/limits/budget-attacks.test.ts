import { deflateSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { type Answer, expectError, type Json, parseSse, type RunningApp, startApp } from '../support/app.ts'
import { inline } from '../support/attachments.ts'
import { onEveryDatabase } from '../support/databases.ts'
import { createHonestProvider, type HonestProvider, type Outcome } from '../support/honest-provider.ts'
import { type ProviderServer, startProviderServer } from '../support/provider-server.ts'
import { startToolServer, type ToolServer } from '../support/tool-server.ts'
import { itemsOf, shapeOf } from '../support/tools.ts'

const BUDGET = 20_000
/** The estimate of ordinary text is at most this much below what a provider counts. */
const ERROR = 0.1
const MODEL = { aiSystem: 'openai-compatible', model: 'm' }

const SCHEMA = {
  type: 'object',
  properties: Object.fromEntries(
    Array.from({ length: 120 }, (_, n) => [
      `field_${n}`,
      { type: 'string', description: `What stands in the field ${n}.` },
    ]),
  ),
}

onEveryDatabase('a daily budget of 20,000 tokens', (kind) => {
  let server: RunningApp
  let provider: ProviderServer
  let service: ToolServer
  let honest: HonestProvider
  let key: { id: string; headers: { 'x-hl-api-key': string } }
  let answers: { outcome: Outcome; mostTokens: number }

  beforeAll(async () => {
    ;[provider, service] = await Promise.all([startProviderServer(), startToolServer()])
    server = await startApp(kind, {
      OPENAI_COMPATIBLE_BASE_URL: `${provider.url}/v1`,
      OPENAI_COMPATIBLE_MODEL: 'm',
      DRAMATIS_ALLOW_PRIVATE_HOSTS: '127.0.0.1',
      DRAMATIS_TITLE_MODEL: 'openai-compatible:m',
    })
  })
  afterAll(async () => {
    await server.close()
    await Promise.all([provider.close(), service.close()])
  })
  beforeEach(async () => {
    answers = { outcome: 'says', mostTokens: 300 }
    honest = createHonestProvider({ choose: () => ({ ...answers, delayMs: 0, saysUsage: true }) })
    provider.always(honest.behave)
    const scopes = ['conversations:read', 'conversations:write']
    const made = await server.call('POST', '/api-keys', { name: 'low', scopes, dailyTokens: BUDGET })
    key = { id: made.body['id'] as string, headers: { 'x-hl-api-key': made.body['key'] as string } }
  })

  const call = <T = Json>(path: string, body: unknown) => server.call<T>('POST', path, body, key.headers)
  async function converse(configuration: Json): Promise<string> {
    const made = await call('/conversations', { ...MODEL, configuration })
    expect(made.status, made.text).toBe(200)
    return made.body['conversationId'] as string
  }
  /** A conversation with a persona that an administrator has made: it may have tools that reach out. */
  async function conversePersona(personaConfiguration: Json): Promise<string> {
    const persona = await server.call('POST', '/personas', {
      personaName: 'P',
      personaDescription: 'x',
      personaText: 'Be brief.',
      ...MODEL,
      personaConfiguration,
    })
    return (await call('/conversations/persona', { personaId: persona.body['personaId'] })).body[
      'conversationId'
    ] as string
  }
  const toolsOf = (n: number) =>
    Array.from({ length: n }, (_, i) => ({
      type: 'client',
      name: `tool_${i}`,
      description: 'Looks it up. '.repeat(30),
      inputSchema: { type: 'object' },
    }))

  /** Says something, again and again, until it is refused; what the refusal was. */
  async function untilRefused(say: (n: number) => Promise<Answer<unknown>>): Promise<Answer<unknown>> {
    for (let n = 0; n < 200; n++) {
      const answer = await say(n)
      if (answer.status === 429 || answer.status === 422) return answer
    }
    throw new Error('it never ended')
  }
  async function expectHeld(): Promise<void> {
    // Titles and summaries are made behind the turns.
    await expect.poll(async () => (await booked()).reserved).toBe(0)
    expect(honest.counted()).toBeLessThanOrEqual(BUDGET * (1 + ERROR))
    const { body } = await server.call<{ data: Json[] }>('GET', '/api-keys')
    const used = body.data.find(({ id }) => id === key.id)?.['tokensUsedToday'] as number
    expect(used).toBeLessThanOrEqual(BUDGET)
    expect(used).toBeGreaterThanOrEqual(honest.counted() / (1 + ERROR))
  }
  async function booked() {
    const { database } = server.app.services
    const query = database.dialect.builder.selectFrom('token_budget').selectAll().where('api_key_id', '=', key.id)
    return (await database.read(query.compile()))[0] ?? { reserved: 0, used: 0 }
  }

  test.each<[string, Json]>([
    ['the definitions of tools', { tools: toolsOf(40), maxTokens: 400 }],
    ['the form of the reply', { responseFormat: { type: 'json_schema', json_schema: { name: 'f', schema: SCHEMA } } }],
    ['summaries behind the turns', { contextPolicy: 'summarize', contextWindow: 2_048, maxTokens: 400 }],
    ['replies of any length', {}],
  ])('is not passed by %s', async (_name, configuration) => {
    answers.mostTokens = configuration['tools'] ? 300 : 3_000
    let id = await converse(configuration)
    const refused = await untilRefused(async (n) => {
      // A name, and with it a title, for each conversation.
      if (n % 5 === 4) id = await converse(configuration)
      return call<unknown>(`/conversations/${id}/chat`, { message: 'Tell me more about it. '.repeat(20) })
    })
    expectError(refused, 'rate_limited')
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(honest.counted()).toBeGreaterThan(BUDGET / 3)
    await expectHeld()
  })

  test('is not passed by a reply of 64 steps: it breaks off, and what it has come to stays', async () => {
    answers.outcome = 'calls'
    const http = { type: 'http', name: 'look', description: 'Looks.', inputSchema: SCHEMA, method: 'POST' }
    const id = await conversePersona({
      tools: [{ ...http, url: `${service.url}/look` }],
      maxToolSteps: 64,
      maxTokens: 300,
    })
    const { text } = await call(`/conversations/${id}/chat-sse`, { message: 'Go' })
    const error = parseSse(text).find(({ event }) => event === 'error')
    expect(JSON.parse(error?.data ?? '{}').error).toMatchObject({ code: 'rate_limited' })
    const shape = shapeOf(itemsOf(text).items)
    const calls = shape.filter((what) => what === 'calls:look').length
    expect(calls).toBeGreaterThan(2)
    expect(calls).toBeLessThan(64)
    // Each call was made, and has its result.
    expect(shape).toEqual([...Array.from({ length: calls }, () => ['calls:look', 'result:look']).flat(), 'end:error'])
    expect(service.requests).toHaveLength(calls)
    const { body } = await server.call<{ chatMessages: { role: string }[] }>('GET', `/conversations/${id}`)
    expect(body.chatMessages.filter(({ role }) => role === 'tool')).toHaveLength(calls)
    const runs = await server.call<{ data: Json[] }>('GET', `/conversations/${id}/runs`)
    expect(runs.body.data[0]).toMatchObject({
      status: 'failed',
      finishReason: 'error',
      error: { code: 'rate_limited' },
    })
    await expectHeld()
    service.requests.length = 0
  })

  test('is not passed by a PDF file that shows one page', async () => {
    const many = Array.from({ length: 120 }, () => '<</Type/Page/Parent 2 0 R>>').join('\n')
    const pdf = Buffer.concat([
      Buffer.from('%PDF-1.5\n1 0 obj<</Type/Page>>endobj\n2 0 obj<</Type/ObjStm/Filter/FlateDecode>>stream\n'),
      deflateSync(many),
      Buffer.from('\nendstream endobj\n'),
    ])
    const id = await converse({ attachments: ['pdf'], contextWindow: 10_000_000 })
    const attachments = [inline('report-120-pages.pdf', 'application/pdf', pdf)]
    const refused = await call<unknown>(`/conversations/${id}/chat`, { message: 'What is it?', attachments })
    expectError(refused, 'unprocessable_entity')
    await expectHeld()
  })

  test('is not passed by turns that come at once', async () => {
    answers.mostTokens = 5_000
    const ids = await Promise.all(Array.from({ length: 30 }, () => converse({})))
    const statuses = await Promise.all(
      ids.map(async (id) => (await call(`/conversations/${id}/chat`, { message: 'Tell me. '.repeat(100) })).status),
    )
    expect(statuses.filter((status) => status === 200).length).toBeGreaterThan(2)
    expect(statuses.filter((status) => status === 429).length).toBeGreaterThan(2)
    await expectHeld()
  })

  // Last: it leaves the provider alone for a while.
  test('is not passed by calls that are given up before they answer', async () => {
    answers.outcome = 'never answers'
    const timeouts = { firstTokenMs: 1 }
    const fallbacks = Array.from({ length: 8 }, () => MODEL)
    let refused: Answer<unknown> | undefined
    for (let n = 0; n < 60 && refused === undefined; n++) {
      const id = await converse({ timeouts, fallbacks, maxTokens: 100 })
      const answer = await call<unknown>(`/conversations/${id}/chat`, { message: 'Tell me. '.repeat(500) })
      if (answer.status === 429) refused = answer
      else expect([502, 503, 504]).toContain(answer.status)
    }
    // Either the budget or the breaker stops it; what was sent has been counted.
    await expectHeld()
  })
})
