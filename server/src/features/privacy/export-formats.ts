import type { Pieces } from '../../http/answers/pieces.ts'
import { printableJson, printableLine, visible } from '../../lib/text/printable.ts'
import type { Conversation, Message } from '../conversations/conversation.ts'
import { toConversationDto, toMessageDto } from '../conversations/conversation-wire.ts'
import type { MessagePiece, MessagePieces } from '../conversations/message-pieces.ts'
import type { Feedback } from '../feedback/feedback.ts'

export const EXPORT_FORMATS = ['jsonl', 'markdown', 'openai'] as const
export type ExportFormat = (typeof EXPORT_FORMATS)[number]

/** What is written of a conversation: each piece of its messages becomes one piece of text. */
export type Exported = {
  conversation: Conversation
  /** Reads its messages from the beginning. */
  read(): MessagePieces
}

/** How a format is written, and what its files are called. */
export const FORMATS: Record<
  ExportFormat,
  { contentType: string; ending: string; write: (exported: Exported) => Pieces }
> = {
  jsonl: { contentType: 'application/x-ndjson; charset=utf-8', ending: 'jsonl', write: writeLines },
  markdown: { contentType: 'text/markdown; charset=utf-8', ending: 'md', write: writeMarkdown },
  openai: { contentType: 'application/x-ndjson; charset=utf-8', ending: 'openai.jsonl', write: writeOpenAi },
}

/** One JSON document a line, also to readers that know more ends of lines than JSON Lines (https://jsonlines.org). */
export function line(value: object): string {
  return `${jsonOf(value)}\n`
}

function jsonOf(value: object): string {
  return printableJson(JSON.stringify(value))
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

/** The lines of some messages. */
export function linesOfPiece(conversation: Conversation, { messages, feedback }: MessagePiece): string {
  return messages.map((message) => messageLine(conversation, message, feedback.get(message.id) ?? [])).join('')
}

async function* writeLines({ conversation, read }: Exported): Pieces {
  let opening = conversationLine(conversation)
  for await (const piece of read()) {
    // Not by itself: the first piece is to tell whether the archive can be read.
    yield opening + linesOfPiece(conversation, piece)
    opening = ''
  }
  if (opening !== '') yield opening
}

const SPEAKERS: Record<Message['role'], string> = {
  system: 'System',
  user: 'User',
  assistant: 'Assistant',
  tool: 'Tool',
}

async function* writeMarkdown({ conversation, read }: Exported): Pieces {
  const { id, name, aiSystem, model, externalUserId, createdAt } = conversation
  const facts = [
    `Conversation: ${id}`,
    `Began: ${new Date(createdAt).toISOString()}`,
    `Model: ${aiSystem} ${model}`,
    ...(externalUserId === null ? [] : [`User: ${externalUserId}`]),
  ]
  let opening = `# ${inOneLine(name ?? 'Conversation')}\n\n${facts.map((fact) => `- ${inOneLine(fact)}\n`).join('')}`
  for await (const { messages, feedback } of read()) {
    yield opening + messages.map((message) => paragraphOf(message, feedback.get(message.id) ?? [])).join('')
    opening = ''
  }
  if (opening !== '') yield opening
}

/**
 * A heading of ours, what was said as a quotation, and a list of what belongs to it. Only we write at the beginning of a
 * line, so nobody can say something that reads as the turn of somebody else.
 */
function paragraphOf(message: Message, feedback: readonly Feedback[]): string {
  const { role, name, createdAt, content, attachments = [] } = message
  const speaker = inOneLine(name === null ? SPEAKERS[role] : `${SPEAKERS[role]} ${name}`)
  const given = feedback.map(({ score, comments }) => {
    const text = comments === null || comments === '' ? '' : `: ${inOneLine(comments)}`
    return `- Feedback ${score}${text}\n`
  })
  const files = attachments.map(
    (file) => `- Attached ${inOneLine(file.name)} (${file.mediaType}, ${file.byteCount} bytes)\n`,
  )
  const beside = [...files, ...given].join('')
  return `\n## ${speaker}, ${new Date(createdAt).toISOString()}\n\n${quoted(content)}\n${beside && `\n${beside}`}`
}

/** Each line behind a `>`. What cannot be seen is shown; the other formats have it as it was said. */
function quoted(text: string): string {
  return `> ${inert(visible(text)).replaceAll('\n', '\n> ')}`
}

/** Without what would begin another line, or hide a part of this one. */
function inOneLine(text: string): string {
  return inert(printableLine(visible(text)))
}

/**
 * Without what a viewer would do more with than show it. An HTML tag could close the quotation from within, and a picture
 * would be fetched from wherever its author wants to know who reads this. So the `<` of a tag is written as `&lt;`, the
 * bracket of a picture as `&#91;`, and the `&` of what would read as one of these, or as `&amp;`, as `&amp;`. All of it can
 * be undone exactly.
 */
function inert(text: string): string {
  return text
    .replaceAll(/&(?=(?:lt|amp|#91);)/g, '&amp;')
    .replaceAll(/<(?=[a-z/!?])/gi, '&lt;')
    .replaceAll('![', '!&#91;')
}

/**
 * One line of the format for fine-tuning, up to the last reply: an example has to end with one. Nothing at all for a
 * conversation without a reply.
 */
async function* writeOpenAi({ read }: Exported): Pieces {
  // Read twice, because what comes behind the last reply may be too much to wait for one with.
  const last: string | null = await findLastReply(read())
  if (last === null) return
  let opening = '{"messages":['
  for await (const { messages } of read()) {
    const shown: Message[] = messages.filter(({ id }) => id <= last)
    if (shown.length > 0) yield opening + shown.map((message) => jsonOf(toOpenAi(message))).join(',')
    if (shown.length > 0) opening = ','
    if (shown.at(-1)?.id === last) break
  }
  yield ']}\n'
}

async function findLastReply(pieces: MessagePieces): Promise<string | null> {
  let last: string | null = null
  for await (const { messages } of pieces) {
    // What calls tools is no reply yet.
    last = messages.findLast(({ role, toolCalls }) => role === 'assistant' && !toolCalls)?.id ?? last
  }
  return last
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
