import type { AddressInfo } from 'node:net'
import { expect } from 'vitest'
import { type App, createApp } from '../../server/src/app.ts'
import { bootstrap } from '../../server/src/bootstrap.ts'
import { type Config, readConfig } from '../../server/src/config/config.ts'
import { knownSecrets } from '../../server/src/config/known-secrets.ts'
import { type ErrorCode, STATUS_OF_CODE } from '../../server/src/errors.ts'
import { SCOPES, type Scope } from '../../server/src/http/requests/caller.ts'
import { openLog } from '../../server/src/lib/process/open-log.ts'
import { createRedactor } from '../../server/src/models/errors/redact.ts'
import type { DatabaseKind, TestDatabase } from './databases.ts'

/** The admin key of every test server. */
export const ADMIN_KEY = 'test-key-that-is-long-enough-for-anything'

export type Json = Record<string, unknown>
export type Answer<T = Json> = { status: number; headers: Headers; body: T; text: string }

export type RunningApp = {
  url: string
  app: App
  config: Config
  place: TestDatabase
  /** Lines of the log, as objects. */
  logged: Json[]
  /** Sends a request with the admin key (or `key`) and reads the whole answer. */
  call<T = Json>(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer<T>>
  /** The same, and the answer as it comes. */
  open(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Response>
  close(): Promise<void>
}

/** A whole server in this process, on a real port, with nothing replaced. */
export async function startApp(
  kind: DatabaseKind,
  env: Record<string, string> = {},
  options: Parameters<typeof createApp>[2] = {},
): Promise<RunningApp> {
  const place = await kind.create()
  const running = await serve(place, env, options)
  return {
    ...running,
    close: async () => {
      await running.close()
      await place.remove()
    },
  }
}

/** A server on a place that stays: to stop it and start another on the same data. */
export async function serve(
  place: TestDatabase,
  env: Record<string, string> = {},
  options: Parameters<typeof createApp>[2] = {},
): Promise<RunningApp> {
  const { config } = readConfig({
    HOST: '127.0.0.1',
    PORT: '0',
    DRAMATIS_DATA_DIR: place.directory,
    DRAMATIS_DATABASE_URL: place.url,
    DRAMATIS_API_KEY: ADMIN_KEY,
    DRAMATIS_SHUTDOWN_GRACE_MS: '200',
    // A machine that runs many tests at once is late, and that is not what they test.
    DRAMATIS_SHED_DELAY_MS: '0',
    // A port where nothing answers: tests must not find the Ollama of whoever runs them.
    OLLAMA_HOST: 'http://127.0.0.1:9',
    ...env,
  })
  const logged: Json[] = []
  const redact = createRedactor(knownSecrets(config))
  const log = openLog({ level: config.logLevel, redact }, { write: (line) => logged.push(JSON.parse(line)) })
  const app = await createApp(config, log, options)
  await bootstrap(app.services, config.apiKey)
  await app.http.listen({ host: config.host, port: config.port })
  const url = `http://127.0.0.1:${(app.http.server.address() as AddressInfo).port}`

  const open = (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) =>
    fetch(url + path, {
      method,
      headers: {
        'x-hl-api-key': ADMIN_KEY,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
  return {
    url,
    app,
    config,
    place,
    logged,
    open,
    async call<T>(method: string, path: string, body?: unknown, headers?: Record<string, string>) {
      const response = await open(method, path, body, headers)
      const text = await response.text()
      const isJson = /json/.test(response.headers.get('content-type') ?? '') && text !== ''
      return {
        status: response.status,
        headers: response.headers,
        body: (isJson ? JSON.parse(text) : null) as T,
        text,
      }
    },
    close: () => app.close(),
  }
}

/** A persona that answers with the rehearsal; `script` is its `personaConfiguration.rehearsal`. */
export async function createPersona(server: RunningApp, fields: Json = {}, script?: Json): Promise<Json> {
  const configuration = script ? { personaConfiguration: { rehearsal: script } } : {}
  const answer = await server.call('POST', '/personas', {
    personaName: 'Test persona',
    personaDescription: 'For tests',
    personaText: 'You are {{name}}.',
    personaGreeting: 'Hello from {{name}}.',
    aiSystem: 'rehearsal',
    model: 'rehearsal',
    ...configuration,
    ...fields,
  })
  if (answer.status !== 200) throw new Error(`persona: ${answer.status} ${answer.text}`)
  return answer.body
}

/** A conversation with a new persona that answers as `script` says. */
export async function createConversation(
  server: RunningApp,
  script: Json = { text: 'One two three.' },
): Promise<string> {
  const persona = await createPersona(server, {}, script)
  const answer = await server.call('POST', '/conversations/persona', {
    personaId: persona['personaId'],
    replacements: { name: 'Ada' },
  })
  if (answer.status !== 200) throw new Error(`conversation: ${answer.status} ${answer.text}`)
  return answer.body['conversationId'] as string
}

/** Another organization on the same server, and an admin key of it. */
export async function createOrganization(server: RunningApp, name = 'Other'): Promise<{ id: string; key: string }> {
  const { organizations, apiKeys, database } = server.app.services
  const { id, statement } = organizations.prepare(name)
  await database.write([statement])
  const { secret } = await apiKeys.create(id, { name: 'admin', scopes: SCOPES, expiresAt: null })
  return { id, key: secret }
}

/** A key with just these scopes, made over the wire: the headers to call with. */
export async function createKey(server: RunningApp, scopes: readonly Scope[]): Promise<{ 'x-hl-api-key': string }> {
  const answer = await server.call('POST', '/api-keys', { name: scopes.join(' ').slice(0, 100), scopes })
  if (answer.status !== 200) throw new Error(`key: ${answer.status} ${answer.text}`)
  return { 'x-hl-api-key': answer.body['key'] as string }
}

export type ErrorOnTheWire = {
  code: ErrorCode
  message: string
  details: { field: string; issue: string }[]
  conversationId?: string
  runId?: string
}

/**
 * Expects an answer to be this error in exactly the shape of the contract, with a request id and nothing of the inside
 * of the server; gives back what stands in `error`.
 */
export function expectError(answer: Answer<unknown>, code: ErrorCode, what = ''): ErrorOnTheWire {
  expect(answer, `${what} ${answer.text.slice(0, 300)}`).toMatchObject({
    status: STATUS_OF_CODE[code],
    body: { error: { code, message: expect.stringMatching(/\S/), details: expect.any(Array) } },
  })
  const { error, ...beside } = answer.body as { error: ErrorOnTheWire }
  expect(beside).toEqual({})
  const allowed = ['code', 'message', 'details', 'conversationId', 'runId']
  expect(Object.keys(error).filter((name) => !allowed.includes(name))).toEqual([])
  for (const detail of error.details) {
    expect(detail).toEqual({ field: expect.stringMatching(/\S/), issue: expect.stringMatching(/\S/) })
  }
  expect(answer.headers.get('content-type')).toMatch(/^application\/json\b/)
  expect(answer.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/)
  expect(answer.text).not.toMatch(/node_modules|\.ts\b|\bat .+:\d+:\d+|SQLITE|constraint|syntax error at|test-key/i)
  return error
}

export type StreamEvent = { id: string | null; event: string | null; data: string }

/** The events of a server-sent stream that has ended. */
export function parseSse(text: string): StreamEvent[] {
  return text
    .split('\n\n')
    .filter((block) => block !== '' && !block.startsWith(':'))
    .map((block) => {
      const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1] ?? null
      return { id: field('id'), event: field('event'), data: field('data') ?? '' }
    })
}
