import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { estimateTokens } from '../../../lib/text/token-estimate.ts'
import type { Message, MessageRole } from '../../conversations/conversation.ts'
import { countToSummarize, cutToTokens, firstThatFit, summaryRequest } from './summary-text.ts'

function message(role: MessageRole, content: string, n = 0): Message {
  return {
    id: String(n).padStart(4, '0'),
    role,
    content,
    toolCallId: null,
    name: role === 'tool' ? 'search' : null,
    runId: null,
    promptTokens: 0,
    completionTokens: 0,
    createdAt: n,
  } as Message
}

const talk = fc
  .array(
    fc.record({
      role: fc.constantFrom<MessageRole>('user', 'assistant', 'tool'),
      content: fc.constantFrom('', 'a', 'hello you there', 'word '.repeat(50)),
    }),
    { maxLength: 40 },
  )
  .map((list) => list.map(({ role, content }, n) => message(role, content, n)))

describe('countToSummarize', () => {
  test('keeps whole exchanges, and always the last message of the user with what follows it', () => {
    fc.assert(
      fc.property(talk, fc.integer({ min: 0, max: 500 }), (messages, tokens) => {
        const count = countToSummarize(messages, tokens)
        if (count === 0) return
        expect(messages[count]?.role).toBe('user')
        expect(count).toBeLessThanOrEqual(messages.findLastIndex(({ role }) => role === 'user'))
        expect(messages.slice(0, count).some(({ role }) => role === 'user')).toBe(true)
      }),
    )
  })

  test('keeps what there is room for', () => {
    const messages = Array.from({ length: 20 }, (_, n) =>
      message(n % 2 === 0 ? 'user' : 'assistant', 'word '.repeat(20), n),
    )
    expect(countToSummarize(messages, 1_000_000)).toBe(0)
    expect(countToSummarize(messages, 110)).toBe(16)
    expect(countToSummarize(messages, 0)).toBe(18)
  })

  test('a greeting alone is not worth it', () => {
    expect(
      countToSummarize([message('assistant', 'Hello'), message('user', 'Hi'), message('assistant', 'Yes?')], 0),
    ).toBe(0)
  })
})

test('takes at least one message, and no more than have room', () => {
  const messages = Array.from({ length: 5 }, (_, n) => message('user', 'word '.repeat(20), n))
  expect(firstThatFit(messages, 0)).toHaveLength(1)
  expect(firstThatFit(messages, 60)).toHaveLength(2)
  expect(firstThatFit(messages, 10_000)).toHaveLength(5)
})

test('asks with what was said, and with the summary before', () => {
  const { system, messages } = summaryRequest(
    'Ada has a cat.',
    [
      message('user', 'It is ill.'),
      message('assistant', ''),
      message('tool', 'x'.repeat(5_000)),
      message('assistant', 'Oh.'),
    ],
    200,
  )
  expect(system).toContain('at most 100 words')
  expect(messages).toHaveLength(1)
  const asked = messages[0]?.content ?? ''
  expect(asked).toContain(
    'The summary so far:\nAda has a cat.\n\nWhat was said since:\nUser: It is ill.\n\nTool search: xxx',
  )
  expect(asked).toContain(' […] x')
  expect(asked).toContain('\n\nAssistant: Oh.\n\nWrite the summary now.')
  expect(asked.length).toBeLessThan(2_300)
})

test('says what was called', () => {
  const calling = { ...message('assistant', ''), toolCalls: [{ id: '1', name: 'search', input: {} }] }
  expect(summaryRequest(null, [calling], 100).messages[0]?.content).toContain('Assistant: (called search)')
})

test('what is cut has room', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', maxLength: 400 }), fc.integer({ min: 20, max: 200 }), (text, tokens) => {
      const cut = cutToTokens(text, tokens)
      expect(text.startsWith(cut)).toBe(true)
      expect(cut.isWellFormed()).toBe(true)
      expect(estimateTokens(cut)).toBeLessThanOrEqual(tokens)
    }),
  )
})
