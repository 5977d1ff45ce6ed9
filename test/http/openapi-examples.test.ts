import { Ajv } from 'ajv'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { JsonObject, JsonValue } from '../../server/src/lib/json.ts'
import { type Answer, type Json, parseSse, type RunningApp, startApp } from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'
import { textOf } from '../support/pages.ts'

type Media = { schema: JsonObject; example?: JsonValue }
type Operation = {
  requestBody?: { content: Record<string, Media> }
  responses: Record<string, { content?: Record<string, Media> }>
}

const DOCUMENT = JSON.parse(textOf('docs/openapi.json')) as JsonObject & {
  paths: Record<string, Record<string, Operation>>
}
const ajv = new Ajv({ strict: false, formats: { uuid: true, 'date-time': true, binary: true } })
ajv.addSchema({ ...DOCUMENT, $id: 'api' })

const operations = Object.entries(DOCUMENT.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ name: `${method.toUpperCase()} ${path}`, ...operation })),
)
const find = (name: string): Operation => {
  const found = operations.find((one) => one.name === name)
  if (!found) throw new Error(`there is no ${name}`)
  return found
}
const bodyOf = (name: string) => find(name).requestBody?.content['application/json']?.example as Json
const successOf = (name: string) => Number(Object.keys(find(name).responses).find((status) => status.startsWith('2')))
const answerOf = (name: string, type = 'application/json') => find(name).responses['200']?.content?.[type]?.example

/** What the document says of one medium, checked by the document itself. */
function complaints(at: string, { schema, example }: Media): string[] {
  if (example === undefined) return []
  const within = JSON.parse(JSON.stringify(schema).replaceAll('"#/components/', '"api#/components/')) as JsonObject
  return ajv.validate(within, example) ? [] : [`${at}: ${ajv.errorsText()}`]
}

describe('the examples of the document', () => {
  const media = operations.flatMap(({ name, requestBody, responses }) => [
    ...Object.entries(requestBody?.content ?? {}).map(([type, one]) => [`${name} ${type}`, one] as const),
    ...Object.entries(responses).flatMap(([status, { content = {} }]) =>
      Object.entries(content).map(([type, one]) => [`${name} ${status} ${type}`, one] as const),
    ),
  ])

  test('are what their schemas say', () => {
    expect(media.flatMap(([at, one]) => complaints(at, one))).toEqual([])
    expect(media.filter(([, { example }]) => example !== undefined).length).toBeGreaterThan(60)
  })

  test('are there for every body in JSON', () => {
    const without = operations.filter(({ name, requestBody }) => {
      const json = requestBody?.content['application/json']
      return json !== undefined && json.example === undefined && !name.endsWith('/attachments')
    })
    expect(without.map(({ name }) => name)).toEqual([])
  })
})

onEveryDatabase('the examples of the document, sent to a server,', (kind) => {
  let server: RunningApp
  beforeAll(async () => {
    server = await startApp(kind, { DRAMATIS_SECRET_KEY: Buffer.alloc(32, 7).toString('base64') })
  })
  afterAll(() => server.close())

  /** Sends the example of an operation and expects an answer of the shape of the example there. */
  async function send(name: string, ids: Record<string, string>, more: Json = {}): Promise<Answer> {
    const [method = '', path = ''] = name.split(' ')
    const filled = path.replaceAll(/\{(\w+)\}/g, (_all, id: string) => ids[id] ?? `no-${id}`)
    const body = bodyOf(name)
    const answer = await server.call(method, filled, body && { ...body, ...more })
    expect([name, answer.status, answer.text.slice(0, 300)]).toEqual([name, successOf(name), expect.anything()])
    const shown = answerOf(name)
    if (shown !== undefined) expect([name, shapeOf(answer.body)]).toEqual([name, shapeOf(shown)])
    return answer
  }

  test('work, and are answered as the document shows', async () => {
    const persona = (await send('POST /personas', {})).body
    const ids = { personaId: String(persona['personaId']), personaVersionId: String(persona['personaVersionId']) }
    await send('GET /personas', ids)
    await send('GET /personas/minimal', ids)
    await send('GET /personas/{personaId}', ids)
    await send('PATCH /personas/{personaId}', ids)
    await send('POST /personas/{personaId}', ids)
    await send('GET /personas/{personaId}/{personaVersionId}', ids)
    await send('PATCH /personas/{personaId}/{personaVersionId}', ids)

    await send('POST /conversations', ids)
    const begun = (await send('POST /conversations/persona', ids, { personaId: ids.personaId })).body
    const conversation = { ...ids, conversationId: String(begun['conversationId']), externalUserId: 'user-42' }
    await send('GET /conversations/{conversationId}', conversation)
    await send('GET /conversations', conversation)
    await send('GET /conversations/user/{externalUserId}', conversation)
    await send('GET /conversations/persona/{personaId}', conversation)
    const said = (await send('POST /conversations/{conversationId}/chat', conversation)).body
    const turn = { ...conversation, runId: String(said['runId']), messageId: String(said['messageId']) }
    await send('GET /conversations/{conversationId}/runs', turn)
    await send('GET /conversations/{conversationId}/runs/{runId}', turn)
    await send('POST /conversations/{conversationId}/runs/{runId}/cancel', turn)
    for (const what of [
      'active',
      'metadata',
      'conversation-name',
      'conversation-status',
      'score',
      'score/{messageId}',
    ]) {
      await send(`PATCH /conversations/{conversationId}/set-${what}`, turn)
    }
    await send('PATCH /conversations/{conversationId}/update', turn)
    const run = (await server.call('GET', `/conversations/${turn.conversationId}/runs/${turn.runId}`)).body
    const edited = { ...turn, messageId: String(run['userMessageId']) }
    await send('PATCH /conversations/{conversationId}/messages/{messageId}', edited)

    const key = (await send('POST /api-keys', {})).body
    await send('POST /api-keys/{id}/rotate', { id: String(key['id']) })
    await send('GET /api-keys', {})
    await send('PUT /secrets/{name}', { name: 'example' })
    await send('GET /models', {})
  })

  test('stream as the document shows', async () => {
    const { body } = await server.call('POST', '/conversations', bodyOf('POST /conversations'))
    const path = (name: string) => `/conversations/${body['conversationId']}/${name}`
    const sse = 'POST /conversations/{conversationId}/chat-sse'
    const ends = (events: ReturnType<typeof parseSse>) => {
      const [first, ...rest] = events.map(({ data }) => data)
      return [shapeOf(JSON.parse(first ?? '')), shapeOf(JSON.parse(rest.at(-2) ?? '')), rest.at(-1)]
    }
    const streamed = await server.call('POST', path('chat-sse'), bodyOf(sse))
    expect(ends(parseSse(streamed.text))).toEqual(ends(parseSse(String(answerOf(sse, 'text/event-stream')))))
    expect(parseSse(streamed.text)[0]?.id).toMatch(/^[0-9a-f-]{36}:0$/)

    const array = 'POST /conversations/{conversationId}/chat-http2'
    const items = (await server.call<Json[]>('POST', path('chat-http2'), bodyOf(array))).body
    const shown = answerOf(array) as Json[]
    expect([items[0], items.at(-1)].map(shapeOf)).toEqual([shown[0], shown.at(-1)].map(shapeOf))
  })

  test('that need a call of a tool are understood, and find none', async () => {
    const { body } = await server.call('POST', '/conversations', bodyOf('POST /conversations'))
    const path = `/conversations/${body['conversationId']}`
    for (const name of ['tool-results', 'runs/{runId}/approve', 'runs/{runId}/reject']) {
      const example = bodyOf(`POST /conversations/{conversationId}/${name}`)
      const runId = '0199b1c4-0400-7000-88a0-7efe0f0fb9bb'
      const answer = await server.call('POST', `${path}/${name.replace('{runId}', runId)}`, example)
      expect([404, 409, 422], `${name}: ${answer.text}`).toContain(answer.status)
    }
  })
})

/** The names all the way down, of a list those of its first item; of what is open only that it is there. */
function shapeOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : [shapeOf(value[0])]
  if (value === null || typeof value !== 'object') return 'a value'
  const open = ['configuration', 'metadata', 'personaConfiguration', 'personaMetadata', 'context']
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, member]) => [name, open.includes(name) ? 'a value' : shapeOf(member)]),
  )
}
