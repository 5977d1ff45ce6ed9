import { randomUUID } from 'node:crypto'
import { Readable } from 'node:stream'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { type ModelMessage, streamText } from 'ai'
import Database from 'better-sqlite3'
import fastify from 'fastify'

/**
 * What a good developer writes in an afternoon: conversations in SQLite, replies streamed with the AI SDK, the whole
 * history sent to the model. Configured by PORT, PROVIDER_URL, MODEL and DATABASE.
 */

const { PORT, PROVIDER_URL = '', MODEL = '', DATABASE } = process.env

const db = new Database(DATABASE)
db.pragma('journal_mode = WAL')
db.pragma('synchronous = NORMAL')
db.exec(`
  create table if not exists conversation (id text primary key, system text not null, created_at text not null);
  create table if not exists message (
    id integer primary key,
    conversation_id text not null references conversation (id),
    role text not null,
    content text not null,
    created_at text not null
  );
  create index if not exists message_of_conversation on message (conversation_id, id);
`)
const insertConversation = db.prepare('insert into conversation (id, system, created_at) values (?, ?, ?)')
const insertMessage = db.prepare('insert into message (conversation_id, role, content, created_at) values (?, ?, ?, ?)')
const findConversation = db.prepare<[string], { system: string }>('select system from conversation where id = ?')
const listMessages = db.prepare<[string], ModelMessage>(
  'select role, content from message where conversation_id = ? order by id',
)

const provider = createOpenAICompatible({
  name: 'bench',
  baseURL: PROVIDER_URL,
  apiKey: 'none',
  includeUsage: true,
})
const app = fastify({ bodyLimit: 8 * 1024 * 1024 })

type NewConversation = { systemMessage: string; messages?: { role: string; content: string }[] }

app.post<{ Body: NewConversation }>('/conversations', async ({ body }) => {
  const id = randomUUID()
  const now = new Date().toISOString()
  db.transaction(() => {
    insertConversation.run(id, body.systemMessage, now)
    for (const { role, content } of body.messages ?? []) insertMessage.run(id, role, content, now)
  })()
  return { id, systemMessage: body.systemMessage, createdAt: now }
})

app.post<{ Params: { id: string }; Body: { message: string } }>(
  '/conversations/:id/chat',
  async ({ params: { id }, body }, reply) => {
    const conversation = findConversation.get(id)
    if (conversation === undefined) return reply.code(404).send({ error: 'there is no such conversation' })
    insertMessage.run(id, 'user', body.message, new Date().toISOString())
    const { textStream } = streamText({
      model: provider(MODEL),
      instructions: conversation.system,
      messages: listMessages.all(id),
      onEnd: ({ text }) => void insertMessage.run(id, 'assistant', text, new Date().toISOString()),
    })
    return reply.type('text/plain; charset=utf-8').send(Readable.from(textStream))
  },
)

app.get('/healthz', async () => ({ status: 'ok' }))

await app.listen({ host: '127.0.0.1', port: Number(PORT) })
