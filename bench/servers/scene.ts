import { MARK, MODEL, REPLY_TEXT } from '../wire/openai-reply.ts'

/** What is said in the benchmark: the same for every server. */
export const SYSTEM =
  'You are the assistant of a shop that sells kettles. You answer in a friendly tone, in one or two sentences, and you ' +
  'say so when you do not know something. Prices are in euros and include the tax.'
export const MESSAGE = 'Can I leave the kettle on its base while I fill it with water?'

export type Said = { role: 'user' | 'assistant'; content: string }

const SHORT = [
  'Does the large kettle switch itself off when the water boils?',
  'It does, and it also does when somebody lifts it from its base.',
]
/** What turns of the benchmark leave behind, without the marks. */
const USUAL = [MESSAGE, REPLY_TEXT.replaceAll(MARK, '')]

/**
 * So many messages of an earlier talk, of the user and the assistant in turn: as long as those of the benchmark, or about
 * 64 characters each, so that 10,000 of them fit into one request.
 */
export function earlierMessages(count: number, length: 'usual' | 'short' = 'usual'): Said[] {
  const lines = length === 'usual' ? USUAL : SHORT
  return Array.from({ length: count }, (_, i) => ({
    role: i % 2 === 0 ? 'user' : 'assistant',
    content: lines[i % 2] as string,
  }))
}

/** A request of the Chat Completions API. */
export function completionRequest(history: readonly Said[] = []): string {
  const messages = [{ role: 'system', content: SYSTEM }, ...history, { role: 'user', content: MESSAGE }]
  return JSON.stringify({ model: MODEL, messages, stream: true, stream_options: { include_usage: true } })
}
