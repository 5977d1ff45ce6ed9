import { describe, expect, test } from 'vitest'
import type { JsonObject } from '../../server/src/lib/json.ts'
import { startApp } from '../support/app.ts'
import { databaseKinds } from '../support/databases.ts'
import { readDocument } from '../support/fuzz/document.ts'
import { textOf } from '../support/pages.ts'

const COMMITTED = JSON.parse(textOf('docs/openapi.json')) as JsonObject

test('the document in the repository is the one that the server gives out: npm run openapi', async () => {
  const [kind] = databaseKinds
  if (!kind) throw new Error('there is no database')
  const server = await startApp(kind)
  const document = await server.call('GET', '/openapi.json', undefined, { 'x-hl-api-key': '' })
  await server.close()
  expect(document.body).toEqual(COMMITTED)
})

describe('the OpenAPI document', () => {
  const { operations } = readDocument(COMMITTED)

  test('names each status by itself, and no fault of the server', () => {
    const odd = operations.flatMap(({ method, path, responses }) =>
      Object.keys(responses)
        .filter((status) => !/^\d{3}$/.test(status) || status === '500')
        .map((status) => `${method} ${path}: ${status}`),
    )
    expect(odd).toEqual([])
  })

  test('has a 400 for every operation, a 401 for each that needs a key, and a 403 for each that needs a scope', () => {
    const without = (status: string, of: typeof operations) =>
      of.filter(({ responses }) => !(status in responses)).map(({ method, path }) => `${method} ${path}`)
    expect(without('400', operations)).toEqual([])
    expect(without('401', operations)).toEqual(['GET /healthz', 'GET /readyz'])
    expect(
      without(
        '403',
        operations.filter(({ scope }) => scope !== null),
      ),
    ).toEqual([])
    expect(operations.filter(({ scope }) => scope === null).map(({ path }) => path)).toEqual([
      ...['/healthz', '/models', '/readyz', '/transcripts/{organizationId}/{conversationId}'],
    ])
  })

  test('says of streams and files what they are', () => {
    const typesOf = (method: string, path: string) =>
      Object.entries(operations.find((one) => one.method === method && one.path === path)?.responses['200'] ?? {}).map(
        ([type, schema]) => [type, schema['format'] ?? schema['type'] ?? schema['$ref'] ?? 'anything'],
      )
    expect(typesOf('POST', '/conversations/{conversationId}/chat-sse')).toEqual([['text/event-stream', 'string']])
    expect(typesOf('GET', '/conversations/{conversationId}/runs/{runId}/events')).toEqual([
      ['text/event-stream', 'string'],
    ])
    expect(typesOf('POST', '/conversations/{conversationId}/regenerate')).toEqual([
      ['application/json', '#/components/schemas/GenAiChatResponse'],
      ['text/event-stream', 'string'],
    ])
    const files = typesOf('GET', '/conversations/{conversationId}/attachments/{attachmentId}')
    expect(files).toContainEqual(['application/json', 'anything'])
    expect(files).toContainEqual(['image/png', 'binary'])
    expect(typesOf('GET', '/metrics')).toEqual([['text/plain', 'string']])
  })
})
