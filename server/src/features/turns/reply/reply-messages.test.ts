import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createIdSource } from '../../../lib/ids.ts'
import { toModelMessages } from '../context/model-messages.ts'
import { type ReplyEvent, repairsOf, type ToolEvent } from './reply-event.ts'
import { firstIdOf, lastIdOf, messagesOf } from './reply-messages.ts'

const ids = createIdSource(() => 1_700_000_000_000)
const before = ids.next()
const replyMessageId = ids.next()
const after = ids.next()
const run = { runId: before, replyMessageId, usage: { promptTokens: 3, completionTokens: 4 }, at: 5, isCompleted: true }
const call = (id: string) => ({ id, name: `do_${id}`, input: {} })
const calls = (...names: string[]): ToolEvent => ({ kind: 'calls', calls: names.map(call) })
const result = (id: string): ToolEvent => ({ kind: 'result', toolCallId: id, name: `do_${id}`, content: `did ${id}` })

const step = fc
  .tuple(fc.array(fc.constantFrom('a', 'b '), { maxLength: 3 }), fc.subarray(['x', 'y', 'z'], { minLength: 1 }))
  .chain(([texts, names]) =>
    fc
      .shuffledSubarray(names)
      .map((answered): ReplyEvent[] => [...texts, calls(...names), ...answered.map((name) => result(name))]),
  )
const finished = step.filter((events) => repairsOf(events).length === 0)
const reply = fc
  .tuple(fc.array(finished, { maxLength: 4 }), fc.oneof(step, fc.constant<ReplyEvent[]>(['The ', 'end.'])))
  .map(([steps, last]) => [...steps.flat(), ...last])

test('the messages of a run stand in order around the id of its reply, and no other is between', () => {
  fc.assert(
    fc.property(reply, (events) => {
      const messages = messagesOf(events, run)
      const order = messages.map(({ id }) => id)
      expect(order).toEqual([...new Set(order)].sort())
      expect(order.every((id) => id > before && id < after && id >= firstIdOf(replyMessageId))).toBe(true)
      expect(order.every((id) => id <= lastIdOf(replyMessageId))).toBe(true)
      expect(messages.findLast(({ role }) => role === 'assistant')).toMatchObject({ id: replyMessageId, ...run.usage })
      expect(messages.reduce((sum, { promptTokens }) => sum + promptTokens, 0)).toBe(3)
    }),
  )
})

test('what breaks off is repaired: each call has a result, in the order of the calls', () => {
  fc.assert(
    fc.property(reply, (events) => {
      const repaired = messagesOf([...events, ...repairsOf(events)], { ...run, isCompleted: false })
      const called = repaired.flatMap(({ toolCalls = [] }) => toolCalls.map(({ id }) => id))
      expect(repaired.filter(({ role }) => role === 'tool').map(({ toolCallId }) => toolCallId)).toEqual(called)
      expect(toModelMessages(repaired)).toHaveLength(repaired.length)
    }),
  )
})

test('a reply without tools is one message, an empty one too', () => {
  expect(messagesOf(['a', 'b'], run)).toMatchObject([{ id: replyMessageId, content: 'ab', role: 'assistant' }])
  expect(messagesOf([], run)).toMatchObject([{ id: replyMessageId, content: '' }])
  expect(messagesOf([], { ...run, isCompleted: false })).toEqual([])
})
