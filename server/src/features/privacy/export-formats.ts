import type { Conversation, Message } from '../conversations/conversation.ts'
import { toConversationDto, toMessageDto } from '../conversations/conversation-wire.ts'
import type { Feedback } from '../feedback/feedback.ts'

export const EXPORT_FORMATS = ['jsonl', 'markdown', 'openai'] as const
export type ExportFormat = (typeof EXPORT_FORMATS)[number]

/** What is written of a conversation: its messages come in pages, and each page becomes one piece of text. */
export type Exported = {
  conversation: Conversation
  messages: AsyncIterable<readonly Message[]>
  feedback: ReadonlyMap<string, Feedback[]>
}
type Pieces = AsyncGenerator<string>

/** How a format is written, and what its files are called. */
export const FORMATS: Record<
  ExportFormat,
  { contentType: string; ending: string; write: (exported: Exported) => Pieces }
> = {
  jsonl: { contentType: 'application/x-ndjson; charset=utf-8', ending: 'jsonl', write: writeLines },
  markdown: { contentType: 'text/markdown; charset=utf-8', ending: 'md', write: writeMarkdown },
  openai: { contentType: 'application/x-ndjson; charset=utf-8', ending: 'openai.jsonl', write: writeOpenAi },
}

/** One JSON document a line. */
export function line(value: object): string {
  return `${JSON.stringify(value)}\n`
}

/** The line of a conversation: the fields of the API without its messages, and those that only exports have. */
export function conversationLine(conversation: Conversation, more: object = {}): string {
  const { chatMessages: _, ...fields } = toConversationDto(conversation, null)
  return line({ type: 'conversation', ...fields, createdAt: new Date(conversation.createdAt).toISOString(), ...more })
}

/** The line of a message with the feedback on it. */
export function messageLine(conversation: Conversation, message: Message, feedback: readonly Feedback[]): string {
  const toolCalls = message.toolCalls?.map(({ id, name, input }) => ({ id, name, input }))
  const fields = { ...toMessageDto(message, feedback), ...(toolCalls && { toolCalls }) }
  return line({ type: 'message', conversationId: conversation.id, ...fields })
}

async function* writeLines({ conversation, messages, feedback }: Exported): Pieces {
  yield conversationLine(conversation)
  for await (const page of messages) {
    yield page.map((message) => messageLine(conversation, message, feedback.get(message.id) ?? [])).join('')
  }
}

const SPEAKERS: Record<Message['role'], string> = {
  system: 'System',
  user: 'User',
  assistant: 'Assistant',
  tool: 'Tool',
}

async function* writeMarkdown({ conversation, messages, feedback }: Exported): Pieces {
  const { id, name, aiSystem, model, externalUserId, createdAt } = conversation
  const facts = [
    `Conversation: ${id}`,
    `Began: ${new Date(createdAt).toISOString()}`,
    `Model: ${aiSystem} ${model}`,
    ...(externalUserId === null ? [] : [`User: ${externalUserId}`]),
  ]
  yield `# ${inOneLine(name ?? 'Conversation')}\n\n${facts.map((fact) => `- ${inOneLine(fact)}\n`).join('')}`
  for await (const page of messages) {
    yield page.map((message) => paragraphOf(message, feedback.get(message.id) ?? [])).join('')
  }
}

function paragraphOf(message: Message, feedback: readonly Feedback[]): string {
  const { role, name, createdAt, content, attachments = [] } = message
  const speaker = inOneLine(name === null ? SPEAKERS[role] : `${SPEAKERS[role]} ${name}`)
  const given = feedback.map(({ score, comments }) => {
    const text = comments === null || comments === '' ? '' : `: ${inOneLine(comments)}`
    return `\n> Feedback ${score}${text}\n`
  })
  const files = attachments.map(
    (file) => `\n> Attached ${inOneLine(file.name)} (${file.mediaType}, ${file.byteCount} bytes)\n`,
  )
  return `\n## ${speaker}, ${new Date(createdAt).toISOString()}\n\n${content}\n${files.join('')}${given.join('')}`
}

function inOneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ')
}

/**
 * One line of the format for fine-tuning, up to the last reply: an example has to end with one. Nothing at all for a
 * conversation without a reply.
 */
async function* writeOpenAi({ messages }: Exported): Pieces {
  let isOpen = false
  let held: object[] = []
  for await (const page of messages) {
    let piece = ''
    for (const message of page) {
      held.push(toOpenAi(message))
      // What calls tools is no reply yet.
      if (message.role !== 'assistant' || message.toolCalls) continue
      piece += (isOpen ? ',' : '{"messages":[') + held.map((one) => JSON.stringify(one)).join(',')
      isOpen = true
      held = []
    }
    if (piece !== '') yield piece
  }
  if (isOpen) yield ']}\n'
}

function toOpenAi({ role, content, name, toolCallId, toolCalls }: Message): object {
  if (role === 'tool') return { role, tool_call_id: toolCallId, content }
  const named = { role, content, ...(name !== null && { name }) }
  if (!toolCalls) return named
  const calls = toolCalls.map((call) => ({
    id: call.id,
    type: 'function',
    function: { name: call.name, arguments: call.invalidInput ?? JSON.stringify(call.input) },
  }))
  return { ...named, content: content === '' ? null : content, tool_calls: calls }
}
