import type { Json, RunningApp } from './app.ts'

type Message = { role: string; content: string; messageId: string }
export type Conversation = Json & { chatMessages: Message[]; totalTokens: number; conversationId: string }
type RunDto = {
  runId: string
  status: string
  kind: string
  usage: { total_tokens: number }
  attempts: unknown[]
}

/** What a persona needs at least. */
export const PERSONA = {
  personaName: 'n',
  personaDescription: 'd',
  personaText: 't',
  aiSystem: 'rehearsal',
  model: 'rehearsal',
}

let keys = 0
/** A header with a key that no other request of this process has. */
export const newKey = () => ({ 'idempotency-key': `key ${++keys}` })
/** An answer without what belongs to the one request. */
export const plain = ({ httpRequestId: _, ...body }: Json) => body
export const isReplay = (answer: { headers: Headers }) => answer.headers.get('x-dramatis-replayed') === 'true'

/** What is on a server. */
export const readersOf = (server: RunningApp) => ({
  read: async (id: string) => (await server.call<Conversation>('GET', `/conversations/${id}`)).body,
  runs: async (id: string) =>
    (await server.call<{ data: RunDto[] }>('GET', `/conversations/${id}/runs?pageSize=50`)).body.data,
  claims: () =>
    server.app.services.database.read<{ id: string; run_id: string | null; body: string | null }>(
      server.app.services.database.dialect.builder.selectFrom('idempotency_claim').selectAll().compile(),
    ),
})
