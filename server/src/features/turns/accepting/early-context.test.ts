import { expect, test } from 'vitest'
import type { Model, ModelMessage } from '../../../models/model.ts'
import type { Database } from '../../../storage/database.ts'
import type { ConversationForTurn, Message } from '../../conversations/conversation.ts'
import { createTurnContexts } from '../context/turn-contexts.ts'
import { createEarlyContext } from './early-context.ts'
import type { Draft } from './turn-draft.ts'

const message = (id: string, role: string, content: string) => ({ id, role, content }) as Message
const hello = message('m1', 'user', 'Hello')
const hi = message('m2', 'assistant', 'Hi')
const question = message('m3', 'user', 'How are you?')

const conversation = {
  id: 'c',
  organizationId: 'o',
  systemText: 'Be brief.',
  systemMessageId: 's',
  aiSystem: 'ollama',
  model: 'm',
  lastMessageId: 'm2',
  messageCount: 3,
  configuration: null,
} as ConversationForTurn

function draft(fields: Partial<Draft> = {}): Draft {
  return {
    organizationId: 'o',
    conversationId: 'c',
    conversation,
    userMessage: question,
    standing: { lastMessageId: 'm2', messageCount: 3, name: null },
    ...fields,
  } as Draft
}

function setup(newest: () => Promise<Message[]> = () => Promise.reject(new Error('the database is closed'))) {
  const database = {} as Database
  const contexts = createTurnContexts({ database, conversations: { newest }, now: () => 0 })
  const prepared: ModelMessage[][] = []
  const model = { prepare: (messages: ModelMessage[]) => prepared.push(messages) } as unknown as Model
  const prepare = createEarlyContext({
    contexts,
    models: { opened: (aiSystem, name) => (aiSystem === 'ollama' && name === 'm' ? model : undefined) },
  })
  return { prepare, contexts, prepared }
}

test('what is in memory is made ready, for the model too', async () => {
  const { prepare, contexts, prepared } = setup()
  contexts.remember(conversation, { messages: [hello, hi], isWhole: true })
  const built = await prepare(draft())
  expect(built?.context).toEqual({
    system: 'Be brief.',
    messages: [hello, hi, question].map(({ role, content }) => ({ role, content })),
  })
  expect(prepared).toEqual([built?.context.messages])
  // The very array: by that the model knows it again.
  expect(prepared[0]).toBe(built?.context.messages)
})

test('not before the batch that accepts the turn is on its way', async () => {
  const { prepare, contexts, prepared } = setup()
  contexts.remember(conversation, { messages: [hello, hi], isWhole: true })
  const built = prepare(draft())
  await Promise.resolve()
  expect(prepared).toEqual([])
  await built
  expect(prepared.length).toBe(1)
})

test.each([
  ['nothing is remembered', {}, false],
  ['others may have come in between', { standing: null }, true],
  ['a summary stands for what is older', { conversation: summarized() }, true],
])('where %s, it is left to whoever executes the turn', async (_, fields, isKept) => {
  const { prepare, contexts, prepared } = setup()
  if (isKept) contexts.remember(conversation, { messages: [hello, hi], isWhole: true })
  expect(await prepare(draft(fields))).toBeNull()
  expect(prepared).toEqual([])
})

test('messages with files are left alone: their bytes come later', async () => {
  const { prepare, contexts, prepared } = setup()
  contexts.remember(conversation, { messages: [hello, hi], isWhole: true })
  const file = { id: 'f', name: 'a.png', mediaType: 'image/png', bytes: 3, tokens: 5 }
  const userMessage = { ...question, attachments: [file] } as unknown as Message
  expect((await prepare(draft({ userMessage })))?.context.messages.length).toBe(3)
  expect(prepared).toEqual([])
})

test('what cannot be read is no error yet', async () => {
  const { prepare, contexts } = setup()
  // There is more, and room for it.
  contexts.remember(conversation, { messages: [hi], isWhole: false })
  expect(await prepare(draft())).toBeNull()
})

function summarized(): ConversationForTurn {
  return { ...conversation, configuration: { contextPolicy: 'summarize' } }
}
