import { type Answer, type Json, parseSse, type RunningApp, type StreamEvent } from './app.ts'

export type ToolCallDto = { toolCallId: string; name: string; input: Json }
export type Item = {
  choice: {
    finish_reason: string | null
    message: { role?: string; content: string; toolCalls?: ToolCallDto[]; toolCallId?: string; name?: string }
  }
  status?: string
  waitingFor?: string[]
  usage?: { prompt_tokens: number; completion_tokens: number; total_tokens: number }
  messageId: string
  runId: string
}
export type StoredMessage = {
  role: string
  content: string
  toolCallId: string | null
  name: string | null
  messageId: string
  conversationRunId: string
  totalTokens: number
}
export type Conversation = { chatMessages: StoredMessage[]; chatMessagesCount: number; totalTokens: number }
export type Whole = {
  choices: { finish_reason: string; message: { content: string; toolCalls?: ToolCallDto[] } }[]
  usage: { total_tokens: number }
  messageId: string
  runId: string
}

/** Starts a conversation with these tools; `more` goes into its configuration, or beside it. */
export async function startWithTools(
  server: RunningApp,
  tools: Json[],
  configuration: Json,
  more: Json = { aiSystem: 'rehearsal', model: 'rehearsal' },
): Promise<string> {
  const answer = await server.call('POST', '/conversations', { ...more, configuration: { tools, ...configuration } })
  if (answer.status !== 200) throw new Error(`conversation: ${answer.status} ${answer.text}`)
  return answer.body['conversationId'] as string
}

/** The items of a stream that has ended, without its end. */
export function itemsOf(text: string): { events: StreamEvent[]; items: Item[] } {
  const events = parseSse(text).filter(({ event, data }) => event === null && data !== '[DONE]')
  return { events, items: events.map(({ data }) => JSON.parse(data) as Item) }
}

/** What each item is about, in a word. */
export function shapeOf(items: readonly Item[]): string[] {
  return items.map(({ choice: { finish_reason, message }, status }) => {
    if (finish_reason !== null) return `end:${finish_reason}`
    if (status !== undefined) return status
    if (message.toolCalls) return `calls:${message.toolCalls.map(({ name }) => name).join(',')}`
    return message.role === 'tool' ? `result:${message.name}` : 'text'
  })
}

export async function readConversation(server: RunningApp, id: string): Promise<Conversation> {
  return (await server.call<Conversation>('GET', `/conversations/${id}`)).body
}

export type { Answer }

/** Reads the stream of a run and says, each time that the run waits, for which calls; null when it has ended. */
export function watchWaits(response: Response): { next(): Promise<string[] | null>; text(): string } {
  const reader = (response.body as ReadableStream<Uint8Array>).getReader()
  const decoder = new TextDecoder()
  let text = ''
  let told = 0
  const whole = () => text.slice(0, text.lastIndexOf('\n\n') + 2)
  // Of the first event there may be only a part.
  const waits = () => (text.includes('\n\n') ? itemsOf(whole()).items.filter(({ status }) => status) : [])
  return {
    text: () => text,
    async next() {
      for (;;) {
        const wait = waits()[told]
        if (wait) {
          told++
          return wait.waitingFor ?? []
        }
        const { done, value } = await reader.read()
        if (done) return null
        text += decoder.decode(value, { stream: true })
      }
    },
  }
}
