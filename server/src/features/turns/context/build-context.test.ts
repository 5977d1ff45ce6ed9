import { expect, test } from 'vitest'
import type { JsonObject } from '../../../lib/json.ts'
import type { ConversationForTurn, Message } from '../../conversations/conversation.ts'
import { besideTools, buildContext, replyTokens, talkTokens, windowOf } from './build-context.ts'

function conversation(configuration: JsonObject, fields: Partial<ConversationForTurn> = {}): ConversationForTurn {
  return {
    aiSystem: 'openai',
    model: 'gpt-4o',
    systemText: 'Be kind.',
    configuration,
    ...fields,
  } as ConversationForTurn
}

const messages = ['user', 'assistant', 'user', 'assistant', 'user'].map(
  (role, n) => ({ id: `m${n}`, role, content: `Message ${n}` }) as Message,
)
const readNewest = async (before: string, limit: number) =>
  messages
    .filter(({ id }) => id <= before)
    .reverse()
    .slice(0, limit)

test('the window is that of the model, or what the configuration says of it', () => {
  expect(windowOf(conversation({}))).toBe(128_000)
  expect(windowOf(conversation({ contextWindow: 9_000 }))).toBe(9_000)
  expect(windowOf(conversation({ contextWindow: 900_000 }))).toBe(900_000)
})

test('a fallback that sees less makes the window smaller', () => {
  const fallbacks = [{ aiSystem: 'openai', model: 'gpt-4' }]
  expect(windowOf(conversation({ fallbacks }))).toBe(8_192)
  expect(windowOf(conversation({ fallbacks, contextWindow: 100_000 }))).toBe(8_192)
})

test('what the configuration says holds for fallbacks that nobody knows', () => {
  const fallbacks = [{ aiSystem: 'ollama', model: 'llama3' }]
  expect(windowOf(conversation({ fallbacks }))).toBe(8_192)
  expect(windowOf(conversation({ fallbacks, contextWindow: 50_000 }))).toBe(50_000)
})

test('the longest reply is kept free', () => {
  const short = conversation({ contextWindow: 2_048, maxTokens: 1_000 }, { systemText: null })
  expect([replyTokens(short), talkTokens(short, null)]).toEqual([1_000, 1_048])
  expect(replyTokens(conversation({ contextWindow: 2_048 }))).toBe(512)
  expect(replyTokens(conversation({}))).toBe(4_096)
})

test('a summary stands in the system text, for the messages up to its last', async () => {
  const summary = { version: 3, upToMessageId: 'm1', text: 'They met.', tokens: 3 }
  const { context, sent } = await buildContext(conversation({ contextPolicy: 'summarize' }), readNewest, 'm4', summary)
  expect(context.system).toMatch(/^Be kind\.\n\nNotes on the older part .*:\nThey met\.$/)
  expect(context.messages.map(({ content }) => content)).toEqual(['Message 2', 'Message 3', 'Message 4'])
  expect(sent).toMatchObject({ policy: 'summarize', firstMessageId: 'm2', messages: 3, summaryVersion: 3 })
})

test('without one nothing is left out that fits', async () => {
  const { context, sent } = await buildContext(conversation({}), readNewest, 'm4', null)
  expect(context.system).toBe('Be kind.')
  expect(sent).toMatchObject({ policy: 'truncate', window: 128_000, firstMessageId: 'm0', messages: 5 })
  expect(sent.summaryVersion).toBeNull()
})

const tool = (description: string) => ({ name: 'look', description, inputSchema: { type: 'object', properties: {} } })

test('tools that only their servers have named take room from the talk, the oldest of it first', async () => {
  const small = conversation({ contextWindow: 2_048, tools: [{ type: 'mcp', url: 'https://example.com/mcp' }] })
  const long = messages.map((message): Message => ({ ...message, content: 'words of the talk '.repeat(40) }))
  const read = async () => [...long].reverse()
  const built = await buildContext(small, read, 'm4', null)
  expect(built.sent.messages).toBe(5)
  const fitted = besideTools(built, small, [tool('what it does '.repeat(450))])
  expect(fitted.sent).toMatchObject({ firstMessageId: 'm4', messages: 1 })
  expect(fitted.context.messages).toHaveLength(1)
  // What the next turn will want is remembered as a whole.
  expect(fitted.window).toBe(built.window)
})

test('tools that have room change nothing', async () => {
  const plenty = conversation({ tools: [{ type: 'mcp', url: 'https://example.com/mcp' }] })
  const built = await buildContext(plenty, readNewest, 'm4', null)
  expect(besideTools(built, plenty, [tool('Looks.')])).toBe(built)
})

test('what was refused is left out, unless it is what is to be answered', async () => {
  const refused = messages.map(
    (message): Message => (message.id >= 'm2' ? { ...message, leftOut: 'refused' } : message),
  )
  const { context, sent } = await buildContext(conversation({}), async () => [...refused].reverse(), 'm4', null)
  expect(context.messages.map(({ content }) => content)).toEqual(['Message 0', 'Message 1', 'Message 4'])
  expect(sent.messages).toBe(3)
})
