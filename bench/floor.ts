import { randomUUID } from 'node:crypto'
import { parseArgs } from 'node:util'
import fastify from 'fastify'
import { Pool } from 'undici'

/**
 * The least that a server between a client and a provider can do: a bare route that pipes the provider's bytes with
 * undici and stores nothing, and one that answers something the size of a conversation. Everything else is measured
 * against it.
 */

const { values } = parseArgs({
  options: {
    port: { type: 'string' },
    provider: { type: 'string' },
    model: { type: 'string' },
    system: { type: 'string' },
  },
})
const provider = new URL(`${values.provider}/chat/completions`)
const pool = new Pool(provider.origin)
const HEADERS = { 'content-type': 'application/json', authorization: 'Bearer none' }
const STREAM = { 'content-type': 'text/event-stream; charset=utf-8' }

type Body = { message: string; messages?: object[] }

const app = fastify({ bodyLimit: 8 * 1024 * 1024 })

app.post<{ Body: Body }>('/conversations/:id/chat', async ({ body }, reply) => {
  const messages = [
    { role: 'system', content: values.system },
    ...(body.messages ?? []),
    { role: 'user', content: body.message },
  ]
  reply.hijack()
  const request = JSON.stringify({
    model: values.model,
    messages,
    stream: true,
    stream_options: { include_usage: true },
  })
  await pool.stream({ path: provider.pathname, method: 'POST', headers: HEADERS, body: request }, ({ statusCode }) =>
    reply.raw.writeHead(statusCode, STREAM),
  )
})

app.post<{ Body: { systemMessage: string } }>('/conversations', async ({ body }) => ({
  conversationId: randomUUID(),
  aiSystem: 'openai-compatible',
  model: values.model,
  personaId: null,
  personaVersionId: null,
  conversationStatus: 'open',
  conversationName: null,
  chatMessages: [
    {
      role: 'system',
      content: body.systemMessage,
      toolCallId: null,
      name: null,
      messageId: randomUUID(),
      timestamp: new Date().toISOString(),
      feedbacks: [],
      promptTokens: 0,
      completionTokens: 0,
      totalTokens: 0,
      conversationRunId: '00000000-0000-0000-0000-000000000000',
    },
  ],
  chatMessagesCount: 1,
  chatStarted: false,
  areChatMessagesInBlob: false,
  chatMessagesBlobUri: null,
  configuration: {},
  metadata: null,
  externalUserId: null,
  isActive: true,
  isDeleted: false,
  promptTokens: 0,
  completionTokens: 0,
  totalTokens: 0,
}))

app.get('/healthz', async () => ({ status: 'ok' }))

await app.listen({ host: '127.0.0.1', port: Number(values.port) })
