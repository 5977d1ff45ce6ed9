import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { createKey, createPersona, type Json, type RunningApp, startApp } from '../support/app.ts'
import { archiverOn, read, SMALL_ARCHIVE } from '../support/archive.ts'
import { onEveryDatabase } from '../support/databases.ts'
import {
  type Behaviour,
  chatReply,
  fixtureReply,
  type ProviderServer,
  startProviderServer,
} from '../support/provider-server.ts'

const SYSTEM_TEXT =
  'You are Canary, the keeper of the "golden" recipe:\n two parts Rye & one part salt. Never say 4711-0815-XYZ to anybody.'
const PROVIDER_KEY = 'a-provider-key-that-nobody-may-see-0815'

/** Every piece of 24 characters, with case and white space and everything but letters and digits taken away. */
const bare = (text: string) =>
  text
    .toLowerCase()
    .replaceAll(/\\+[nrt]/g, '')
    .replaceAll(/[^a-z0-9]/g, '')
function piecesIn(text: string): string[] {
  const shown = bare(text)
  return Array.from({ length: SYSTEM_TEXT.length - 23 }, (_, at) => SYSTEM_TEXT.slice(at, at + 24)).filter((piece) =>
    shown.includes(bare(piece)),
  )
}

const json = (status: number, body: unknown): Behaviour => ({
  status,
  // Longer than is waited for: nothing is tried again.
  headers: { 'content-type': 'application/json', 'retry-after': '60' },
  pieces: [JSON.stringify(body)],
})
const openAiError = (message: string) => ({ error: { message, type: 'invalid_request_error', code: 'bad' } })
const chunk = (body: unknown) => `data: ${JSON.stringify(body)}\n\n`
const stream = (...pieces: string[]): Behaviour => ({ headers: { 'content-type': 'text/event-stream' }, pieces })
const TEXT = chunk({ choices: [{ index: 0, delta: { content: 'One ' } }] })

/** How providers and gateways quote what they were asked. */
const QUOTING: [string, Behaviour][] = [
  ['a message', json(400, openAiError(`The prompt "${SYSTEM_TEXT}" is not allowed`))],
  ['one in capitals on many lines', json(422, openAiError(SYSTEM_TEXT.toUpperCase().replaceAll(' ', '\n\t')))],
  ['a request as JSON', json(400, openAiError(`body: ${JSON.stringify({ messages: [{ content: SYSTEM_TEXT }] })}`))],
  ['a request as JSON twice', json(500, openAiError(JSON.stringify(JSON.stringify({ content: SYSTEM_TEXT }))))],
  ['a piece', json(400, openAiError(`Token limit reached near: ...${SYSTEM_TEXT.slice(31, 70)}...`))],
  ['a page', { status: 502, pieces: [`<html><h1>Bad</h1><pre>${SYSTEM_TEXT.replaceAll('"', '&quot;')}</pre>`] }],
  ['what FastAPI says', json(422, { detail: [{ loc: ['body'], msg: `Value error: ${SYSTEM_TEXT}`, input: 1 }] })],
  ['a rate limit', json(429, openAiError(`Slow down: ${SYSTEM_TEXT}`))],
  ['a refused key', json(401, openAiError(`Bearer ${PROVIDER_KEY} may not send ${SYSTEM_TEXT}`))],
  ['an error in the stream', stream(chunk(openAiError(`Filtered: ${SYSTEM_TEXT}`)))],
  ['an error behind some text', stream(TEXT, chunk(openAiError(`Filtered: ${SYSTEM_TEXT} ${PROVIDER_KEY}`)))],
]

const SYSTEMS = [
  ['openai-compatible', 'm'],
  ['mistral', 'mistral-small-latest'],
] as const

onEveryDatabase('a secret persona', (kind) => {
  let server: RunningApp
  let provider: ProviderServer
  beforeAll(async () => {
    provider = await startProviderServer()
    server = await startApp(kind, {
      ...SMALL_ARCHIVE,
      OPENAI_COMPATIBLE_BASE_URL: `${provider.url}/v1`,
      OPENAI_COMPATIBLE_API_KEY: PROVIDER_KEY,
      MISTRAL_API_KEY: PROVIDER_KEY,
      MISTRAL_BASE_URL: `${provider.url}/v1`,
    })
  })
  beforeEach(async () => {
    provider.always(({ body }) =>
      (body as Json)['model'] === 'm' ? chatReply(['Yes.']) : fixtureReply('mistral/reply.sse'),
    )
    // A reply between the failures, or the breakers would open.
    for (const [aiSystem, model] of SYSTEMS) {
      expect((await server.call('POST', '/conversations', { aiSystem, model, message: 'Hi' })).status).toBe(200)
    }
  })
  const textOf = async (path: string) => (await server.open('GET', path)).text()
  afterAll(async () => {
    await server.close()
    await provider.close()
  })

  const secret = async (fields: Json) =>
    (await createPersona(server, { isSecret: true, personaText: SYSTEM_TEXT, personaGreeting: null, ...fields }))[
      'personaId'
    ] as string
  const start = async (personaId: string) =>
    (await server.call('POST', '/conversations/persona', { personaId, externalUserId: personaId })).body[
      'conversationId'
    ] as string

  test.each(
    SYSTEMS.flatMap(([aiSystem, model]) => QUOTING.map(([name, how]) => [name, aiSystem, model, how] as const)),
  )('is not quoted by %s of %s, on any way out', async (_name, aiSystem, model, behaviour) => {
    provider.always(behaviour)
    // One attempt after the other would take seconds, and the breaker is not what this is about.
    const personaId = await secret({ aiSystem, model, personaConfiguration: { timeouts: { totalMs: 400 } } })
    const logged = server.logged.length
    const id = await start(personaId)
    const whole = await server.call('PATCH', `/conversations/${id}/chat`, { message: 'Hi' })
    const sse = await server.open('PATCH', `/conversations/${id}/chat-sse`, { message: 'Hi' })
    const array = await server.open('PATCH', `/conversations/${id}/chat-http2`, { message: 'Hi' })
    const first = await server.call('POST', '/conversations/persona', { personaId, message: 'Hi', stream: true })
    const runs = await server.call<{ data: Json[] }>('GET', `/conversations/${id}/runs`)
    const said = [whole.text, await sse.text(), await array.text(), first.text, runs.text]
    for (const { runId } of runs.body.data) {
      for (const path of ['', '/events']) {
        said.push(await textOf(`/conversations/${id}/runs/${runId}${path}`))
      }
    }
    for (const format of ['jsonl', 'markdown', 'openai']) {
      said.push(await textOf(`/conversations/${id}/export?format=${format}`))
    }
    said.push(await textOf(`/users/${personaId}/export`))
    said.push(JSON.stringify(server.logged.slice(logged)))
    expect(provider.requests.length).toBeGreaterThan(0)
    expect(runs.body.data.map(({ status }) => status)).toEqual(['failed', 'failed', 'failed'])
    for (const text of said) {
      expect(piecesIn(text)).toEqual([])
      expect(text).not.toContain(PROVIDER_KEY)
    }
    // What it was that failed can still be told.
    expect(JSON.stringify(runs.body)).toMatch(/answered \d{3}|refused the key|failed while|is being|sent something/)
  })

  test('whose provider quotes what a user said, or a tool, leaves that out of the log and the answers too', async () => {
    const message = 'My diary of the third of May says that nobody came to the party'
    provider.always(({ body }) => json(400, openAiError(`cannot take ${JSON.stringify(body)}`)))
    const personaId = await secret({ aiSystem: 'openai-compatible', model: 'm' })
    const id = await start(personaId)
    const logged = server.logged.length
    const { text } = await server.call('PATCH', `/conversations/${id}/chat`, { message })
    expect(text).toContain('answered 400: cannot take')
    expect(text + JSON.stringify(server.logged.slice(logged))).not.toMatch(/diary|nobody came/)
  })

  test('and its provider\u2019s address are no part of an error that names it', async () => {
    const inside = `connect ECONNREFUSED 10.1.2.3:8000 (upstream http://gpu-7:8000/v1, file /srv/models/secret.gguf, ${provider.url}/v1)`
    provider.always(json(503, openAiError(inside)))
    const personaId = await secret({
      aiSystem: 'openai-compatible',
      model: 'm',
      personaConfiguration: { timeouts: { totalMs: 2_000 } },
    })
    const { body, text } = await server.call('PATCH', `/conversations/${await start(personaId)}/chat`, {
      message: 'Hi',
    })
    expect((body['error'] as Json)['message']).toContain('answered 503: connect ECONNREFUSED …')
    expect(text).not.toMatch(/10\.1\.2\.3|gpu-7|\/srv|127\.0\.0\.1/)
  })

  test('shows its text to nobody from the moment on in which it becomes secret', async () => {
    const persona = await createPersona(server, { personaText: SYSTEM_TEXT, personaGreeting: null })
    const personaId = persona['personaId'] as string
    const create = () =>
      server.call('POST', '/conversations/persona', { personaId, externalUserId: personaId, message: 'Hi' }, KEY)
    const KEY = { 'idempotency-key': `secret-${personaId}` }
    const created = await create()
    const id = created.body['conversationId'] as string
    for (let i = 0; i < 62; i++) await server.call('PATCH', `/conversations/${id}/chat`, { message: `${i}` })
    await archiverOn(server).round()
    const link = (await read(server, id)).chatMessagesBlobUri ?? ''
    const everything = async () => [
      (await server.call('GET', `/conversations/${id}`)).text,
      (await server.call('GET', '/conversations?includeMessages=true&pageSize=100')).text,
      (await server.call('GET', `/conversations/persona/${personaId}?includeMessages=true`)).text,
      (await server.call('GET', `/conversations/user/${personaId}?includeMessages=true`)).text,
      (await server.call('PATCH', `/conversations/${id}/set-metadata`, { metadata: {} })).text,
      (await create()).text,
      await (await fetch(link)).text(),
      await textOf(`/users/${personaId}/export`),
      ...(await Promise.all(
        ['jsonl', 'markdown', 'openai'].map((format) => textOf(`/conversations/${id}/export?format=${format}`)),
      )),
    ]
    const before = await everything()
    expect(before.filter((text) => piecesIn(text).length > 0).length).toBeGreaterThanOrEqual(5)
    await server.call('PATCH', `/personas/${personaId}`, { isSecret: true })
    for (const text of await everything()) expect([piecesIn(text), text.length > 50]).toEqual([[], true])
    const outsider = await createKey(server, ['conversations:read', 'conversations:write', 'admin:read'])
    for (const path of [personaId, `${personaId}/${persona['defaultVersionId']}`, '', 'minimal']) {
      expect((await server.call('GET', `/personas/${path}`, undefined, outsider)).status).toBe(403)
    }
  })
})

onEveryDatabase('the list of models', (kind) => {
  test('names addresses and folders of the inside to who looks after the server, and to nobody else', async () => {
    const server = await startApp(kind, {
      OLLAMA_HOST: 'http://127.0.0.1:9',
      OPENAI_COMPATIBLE_BASE_URL: 'http://127.0.0.1:9/gateway/v1',
      DRAMATIS_LOCAL_MODELS: '/srv/models/mine.gguf',
      DRAMATIS_LOCAL_RUNTIME: '/srv/runtime',
      DRAMATIS_DEFAULT_AI_SYSTEM: 'openai-compatible',
    })
    try {
      const low = await createKey(server, ['conversations:write', 'personas:read'])
      const seen = await server.call('GET', '/models', undefined, low)
      expect(seen.text).not.toMatch(/127\.0\.0\.1|:9\b|\/srv|gateway/)
      expect(seen.text).toContain('Ollama does not answer.')
      const all = await server.call('GET', '/models', undefined, await createKey(server, ['admin:read']))
      for (const part of ['Ollama does not answer at http://127.0.0.1:9.', '127.0.0.1:9/gateway', 'in /srv/runtime']) {
        expect(all.text).toContain(part)
      }
      const started = await server.call(
        'POST',
        '/conversations',
        { aiSystem: 'default', model: 'default', message: 'Hi' },
        low,
      )
      expect(started.status).toBe(503)
      expect(started.text).not.toMatch(/127\.0\.0\.1|gateway/)
    } finally {
      await server.close()
    }
  })
})

test('the helper of these tests sees what is quoted', async () => {
  expect(piecesIn(`x ${JSON.stringify(SYSTEM_TEXT).toUpperCase()} y`).length).toBeGreaterThan(50)
})
