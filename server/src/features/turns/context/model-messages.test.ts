import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createIdSource } from '../../../lib/ids.ts'
import type { ToolCall } from '../../../models/tool-call.ts'
import type { Message, MessageRole } from '../../conversations/conversation.ts'
import { closingMessages, toModelMessages } from './model-messages.ts'
import { readWindow, shapeContext } from './window.ts'

const ids = createIdSource(() => 1_700_000_000_000)
type Spoken = { role: MessageRole; content: string; toolCalls?: ToolCall[]; toolCallId?: string | null }

function talkOf(spoken: readonly Spoken[]): Message[] {
  return spoken.map((message) => ({
    id: ids.next(),
    toolCallId: null,
    name: null,
    runId: null,
    promptTokens: 0,
    completionTokens: 0,
    createdAt: 0,
    ...message,
  }))
}

const call = fc.constantFrom('a', 'b', 'c').map((id): ToolCall => ({ id, name: `tool_${id}`, input: {} }))
const content = fc.constantFrom('', ' ', 'hello')
const spokenWith = (calls: fc.Arbitrary<ToolCall[]>) =>
  fc.oneof(
    fc.record({ role: fc.constant('user' as const), content }),
    fc.record({ role: fc.constant('assistant' as const), content }),
    fc.record({
      role: fc.constant('assistant' as const),
      content,
      toolCalls: calls,
    }),
    fc.record({ role: fc.constant('tool' as const), content, toolCallId: fc.constantFrom('a', 'b', 'c', null) }),
  )
const distinct = fc.uniqueArray(call, { minLength: 1, maxLength: 3, selector: ({ id }) => id })
const history = fc.array(spokenWith(distinct), { maxLength: 20 }).map(talkOf)
// In talks that are older than ids of our own, two calls of a step may have the same.
const olderHistory = fc.array(spokenWith(fc.array(call, { minLength: 1, maxLength: 3 })), { maxLength: 20 }).map(talkOf)

/** What a strict provider checks. */
function expectPaired(messages: ReturnType<typeof toModelMessages>): void {
  let owed: string[] = []
  for (const [i, message] of messages.entries()) {
    if (message.role === 'tool') {
      expect(message.toolCallId).toBe(owed.shift())
      expect(message.content.trim()).not.toBe('')
      continue
    }
    expect(owed).toEqual([])
    if (message.role === 'user') expect(messages[i - 1]?.role).not.toBe('user')
    else expect(messages[i - 1]?.role).not.toBe('assistant')
    owed = message.role === 'assistant' ? (message.toolCalls ?? []).map(({ id }) => id) : []
    if (owed.length === 0) expect(message.content.trim()).not.toBe('')
  }
  expect(owed).toEqual([])
  const ids = messages
    .flatMap((message) => (message.role === 'assistant' ? (message.toolCalls ?? []) : []))
    .map(({ id }) => id)
  expect(new Set(ids).size).toBe(ids.length)
}

test('every call has one result right behind it, and every result a call, whatever happened', () => {
  fc.assert(fc.property(olderHistory, (messages) => expectPaired(toModelMessages(messages))))
})

test('also where the history is cut', async () => {
  await fc.assert(
    fc.asyncProperty(history, fc.integer({ min: 1, max: 60 }), async (before, budget) => {
      const all = [...before, ...talkOf([{ role: 'user', content: 'last' }])]
      const read = async (from: string, limit: number) =>
        all
          .filter(({ id }) => id <= from)
          .reverse()
          .slice(0, limit)
      const { messages: window } = await readWindow(read, all.at(-1)?.id ?? '', budget)
      const { messages } = shapeContext(null, window, true)
      expectPaired(messages)
      expect(messages[0]?.role).toBe('user')
    }),
  )
})

test('a cut leaves the calls of the exchange that goes on with their results', async () => {
  const all = talkOf([
    { role: 'user', content: 'x '.repeat(400) },
    { role: 'assistant', content: 'y '.repeat(400) },
    { role: 'user', content: 'do it' },
    { role: 'assistant', content: '', toolCalls: [{ id: 'a', name: 'f', input: {} }] },
    { role: 'tool', content: 'z '.repeat(400), toolCallId: 'a' },
  ])
  const read = async () => [...all].reverse()
  const { messages: window } = await readWindow(read, all.at(-1)?.id ?? '', 10)
  expect(window.map(({ role }) => role)).toEqual(['user', 'assistant', 'tool'])
})

test('what closes open calls is one result for each, right behind the others', () => {
  fc.assert(
    fc.property(history, (messages) => {
      const all = [...messages, ...closingMessages(messages, 1)].sort((a, b) => (a.id < b.id ? -1 : 1))
      expect(closingMessages(all, 2)).toEqual([])
      expect(toModelMessages(all)).toEqual(toModelMessages(messages))
    }),
  )
})

test('calls that bear the same id each have their own result', () => {
  const toolCalls = [
    { id: 'a', name: 'one', input: {} },
    { id: 'a', name: 'two', input: {} },
  ]
  const talk = talkOf([
    { role: 'user', content: 'do it' },
    { role: 'assistant', content: '', toolCalls },
    { role: 'tool', content: 'first', toolCallId: 'a' },
    { role: 'tool', content: 'second', toolCallId: 'a' },
    { role: 'assistant', content: '', toolCalls: toolCalls.slice(0, 1) },
    { role: 'tool', content: 'third', toolCallId: 'a' },
  ])
  const results = toModelMessages(talk).filter(({ role }) => role === 'tool')
  expect(results.map(({ content }) => content)).toEqual(['first', 'second', 'third'])
  expect(toModelMessages(talk)).toEqual(toModelMessages(talk))
})
