import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { type RunningApp, startApp } from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'
import { environmentOf, runCli } from '../support/process.ts'
import { type Behaviour, chatReply, type ProviderServer, startProviderServer } from '../support/provider-server.ts'

const HTML = { 'content-type': 'text/html; charset=utf-8' }
const PAGE = '<!DOCTYPE html>\n<html><head><title>Log in</title></head><body>Who are you?</body></html>'
const LOGIN: Behaviour = { headers: HTML, pieces: [PAGE] }

/** What each system's address is called, and what is missing at its end when it is only a host. */
const SYSTEMS = [
  ['openai-compatible', 'OPENAI_COMPATIBLE_BASE_URL', '/v1'],
  ['openai', 'OPENAI_BASE_URL', '/v1'],
  ['mistral', 'MISTRAL_BASE_URL', '/v1'],
  ['groq', 'GROQ_BASE_URL', '/openai/v1'],
  ['cohere', 'COHERE_BASE_URL', '/v2'],
  ['google', 'GOOGLE_GENERATIVE_AI_BASE_URL', '/v1beta'],
  ['anthropic', 'ANTHROPIC_BASE_URL', null],
  ['azure-openai', 'AZURE_OPENAI_ENDPOINT', null],
  ['bedrock', 'AWS_ENDPOINT_URL_BEDROCK_RUNTIME', null],
  ['ollama', 'OLLAMA_HOST', null],
] as const

const questionOf = (variable: string, end: string | null) =>
  end === null ? `is ${variable} the address of its API?` : `is ${end} missing at the end of ${variable}?`

function environment(url: string): Record<string, string> {
  const names = ['OPENAI', 'MISTRAL', 'GROQ', 'COHERE', 'ANTHROPIC', 'AZURE_OPENAI', 'GEMINI']
  const keys = { ...Object.fromEntries(names.map((name) => [`${name}_API_KEY`, 'k'])), AWS_BEARER_TOKEN_BEDROCK: 'k' }
  const addresses = Object.fromEntries(SYSTEMS.map(([, variable]) => [variable, url]))
  return { ...keys, ...addresses, AWS_REGION: 'eu-central-1', OPENAI_COMPATIBLE_MODEL: 'm' }
}

onEveryDatabase('an address that is not quite that of the API', (kind) => {
  let provider: ProviderServer
  let server: RunningApp
  beforeAll(async () => {
    provider = await startProviderServer()
    server = await startApp(kind, environment(provider.url))
  })
  afterAll(async () => {
    await server.close()
    await provider.close()
  })
  afterEach(() => provider.always(null))

  const failed = async (aiSystem: string, endpoint: 'chat' | 'chat-sse' | 'chat-http2') => {
    const { body } = await server.call('POST', '/conversations', { aiSystem, model: 'm' })
    const id = body['conversationId']
    const answer = await server.call('PATCH', `/conversations/${id}/${endpoint}`, { message: 'Hello' })
    const { body: runs } = await server.call<{ data: { error: { message: string } | null }[] }>(
      ...(['GET', `/conversations/${id}/runs`] as const),
    )
    return { status: answer.status, text: answer.text, message: runs.data[0]?.error?.message }
  }

  test.each(SYSTEMS)('%s: a web page with 200 is told from an answer', async (aiSystem, variable, end) => {
    provider.always(LOGIN)
    for (const endpoint of ['chat', 'chat-sse', 'chat-http2'] as const) {
      const { status, text, message } = await failed(aiSystem, endpoint)
      expect([status, message]).toEqual([
        502,
        expect.stringMatching(/: its address answers with a web page \(200\); is /),
      ])
      expect(message).toContain(questionOf(variable, end))
      expect(text).toContain(questionOf(variable, end))
      expect(text).not.toMatch(/127\.0\.0\.1|Who are you|<html/)
    }
  })

  test.each(SYSTEMS)('%s: so are one with 403, one without a type, and a redirect', async (aiSystem, variable, end) => {
    for (const [behaviour, said] of [
      [{ status: 403, headers: HTML, pieces: [PAGE] }, 'answers with a web page (403)'],
      [{ pieces: ['\uFEFF \n', PAGE] }, 'answers with a web page (200)'],
      [{ status: 302, headers: { location: 'https://login.example/' } }, 'sends to another one (302)'],
    ] as const) {
      provider.always(behaviour)
      const { status, message } = await failed(aiSystem, 'chat')
      expect([status, message]).toEqual([502, expect.stringContaining(`its address ${said}; `)])
      expect(message).toContain(questionOf(variable, end))
    }
  })

  test.each(SYSTEMS)('%s: not found asks what is missing, if something is', async (aiSystem, variable, end) => {
    provider.always({
      status: 404,
      headers: { 'content-type': 'application/json' },
      pieces: ['{"detail":"Not Found"}'],
    })
    const { message } = await failed(aiSystem, 'chat')
    expect(message).toContain('answered 404: Not Found')
    if (end === null) expect(message).not.toContain(variable)
    else expect(message).toContain(`; ${questionOf(variable, end)}`)
  })

  test('a server that says so with 200 is understood too', async () => {
    const pieces = ['{"error":"Unexpected endpoint or method. (POST /chat/completions)"}']
    provider.always({ headers: { 'content-type': 'application/json' }, pieces })
    const { message } = await failed('openai-compatible', 'chat')
    expect(message).toMatch(/Unexpected endpoint.*; is \/v1 missing at the end of OPENAI_COMPATIBLE_BASE_URL\?$/)
  })

  test('the page of a gateway that is broken means what its status says', async () => {
    provider.always({ status: 503, headers: HTML, pieces: ['<html><body>503 Busy</body></html>'] })
    const { message } = await failed('openai-compatible', 'chat')
    expect(message).toBe('OpenAI-compatible server answered 503: 503 Busy')
  })

  test.each(['openai-compatible', 'openai'])('%s: a stream that is called text/html is read', async (aiSystem) => {
    provider.always({ ...chatReply(['Well', '.']), headers: HTML })
    const { status, text } = await failed(aiSystem, 'chat')
    expect(status).toBe(200)
    expect(text).toContain('Well.')
  })
})

onEveryDatabase('the doctor asks a wrong address', (kind) => {
  const examine = async (behaviour: Behaviour, end = '') => {
    const place = await kind.create()
    const provider = await startProviderServer()
    provider.always(behaviour)
    const env = { PORT: '0', ...environment(provider.url + end), OLLAMA_HOST: 'http://127.0.0.1:9' }
    const outcome = await runCli(['doctor'], environmentOf(place, env))
    await provider.close()
    await place.remove()
    return outcome
  }
  const ASKED = SYSTEMS.filter(([aiSystem]) => aiSystem !== 'bedrock' && aiSystem !== 'ollama')

  test('and says that it answers with a web page', async () => {
    const { code, stdout } = await examine(LOGIN)
    expect(code).toBe(1)
    for (const [aiSystem, variable, end] of ASKED) {
      const line = stdout.split('\n').find((one) => new RegExp(`BAD\\s+${aiSystem}\\s`).test(one))
      expect(line).toMatch(/the address answers with a web page \(200\); is /)
      expect(line).toContain(questionOf(variable, end))
    }
  })

  test('and says what is missing when nothing is found there', async () => {
    const { stdout } = await examine({ status: 404, pieces: ['404 page not found'] })
    for (const [aiSystem, variable, end] of ASKED) {
      const line = stdout.split('\n').find((one) => new RegExp(`note\\s+${aiSystem}\\s`).test(one))
      if (end === null) expect(line).toMatch(/answers 404 when asked for its models, which may mean nothing/)
      else expect(line).toContain(questionOf(variable, end))
    }
  })

  test('and does not follow it elsewhere', async () => {
    const { stdout } = await examine({ status: 302, headers: { location: 'https://login.example/' } }, '/v1')
    expect(stdout).toMatch(/BAD\s+openai\s+.*sends to another one \(302\); is OPENAI_BASE_URL the address of its API\?/)
  })
})
