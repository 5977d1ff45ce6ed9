import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Message, MessageRole } from '../../conversations/conversation.ts'
import { type ReadNewest, readWindow, shapeContext } from './window.ts'

function message(n: number, role: MessageRole, content: string): Message {
  const id = String(n).padStart(8, '0')
  return {
    id,
    role,
    content,
    toolCallId: null,
    name: null,
    runId: null,
    promptTokens: 0,
    completionTokens: 0,
    createdAt: n,
  }
}

const history = fc
  .array(
    fc.record({
      role: fc.constantFrom<MessageRole>('user', 'assistant'),
      content: fc.constantFrom('', ' ', 'a', 'hello you'),
    }),
  )
  .map((list) =>
    [...list, { role: 'user' as const, content: 'last' }].map(({ role, content }, n) => message(n, role, content)),
  )

test('is accepted by a strict provider, whatever happened before', () => {
  fc.assert(
    fc.property(history, fc.boolean(), (messages, userFirst) => {
      const context = shapeContext('system', messages, userFirst)
      expect(context.messages.every(({ content }) => content.trim() !== '')).toBe(true)
      expect(context.messages.every(({ role }, i) => role !== context.messages[i - 1]?.role)).toBe(true)
      expect(context.messages.at(-1)?.role).toBe('user')
      if (userFirst) expect(context.messages[0]?.role).toBe('user')
    }),
  )
})

test('loses no word that was said', () => {
  fc.assert(
    fc.property(history, fc.boolean(), (messages, userFirst) => {
      const context = shapeContext(null, messages, userFirst)
      const shown = [context.system ?? '', ...context.messages.map(({ content }) => content)].join('\n')
      const words = (text: string) => text.split(/\s+/).filter((word) => word === 'hello').length
      expect(words(shown)).toBe(words(messages.map(({ content }) => content).join(' ')))
    }),
  )
})

test('puts the greeting into the system text where the user has to begin', () => {
  const talk = [message(1, 'assistant', 'Hello!'), message(2, 'user', 'Hi')]
  expect(shapeContext('Be kind.', talk, true)).toEqual({
    system: 'Be kind.\n\nYou began the conversation by saying:\nHello!',
    messages: [{ role: 'user', content: 'Hi' }],
  })
  expect(shapeContext('Be kind.', talk, false).messages).toHaveLength(2)
})

function reader(messages: readonly Message[]): { read: ReadNewest; count: () => number } {
  let count = 0
  return {
    read: async (before, limit) => {
      const page = messages
        .filter(({ id }) => id <= before)
        .reverse()
        .slice(0, limit)
      count += page.length
      return page
    },
    count: () => count,
  }
}

const long = Array.from({ length: 10_000 }, (_, n) =>
  message(n, n % 2 === 0 ? 'user' : 'assistant', `message ${n} `.repeat(5)),
)

test('reads the window and not the conversation', async () => {
  const { read, count } = reader(long)
  const { messages: window } = await readWindow(read, (long.at(-2) as Message).id, 2_000)
  expect(window.at(-1)?.id).toBe(long.at(-2)?.id)
  expect(window.length).toBeGreaterThan(10)
  expect(count()).toBeLessThan(200)
  expect(window[0]?.role).toBe('user')
})

test('takes everything when it fits, each message once, in order', async () => {
  const { read } = reader(long.slice(0, 300))
  const { messages: window } = await readWindow(read, (long[299] as Message).id, 1_000_000)
  expect(window.map(({ id }) => id)).toEqual(long.slice(0, 300).map(({ id }) => id))
})

test('always takes the newest message', async () => {
  const { read } = reader(long)
  const { messages: window } = await readWindow(read, (long[100] as Message).id, 1)
  expect(window.map(({ id }) => id)).toEqual([long[100]?.id])
})
