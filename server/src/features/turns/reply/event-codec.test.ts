import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeEvents, encodeEvents, hasToolEvents, textLengthOf } from './event-codec.ts'
import type { ReplyEvent } from './reply-event.ts'

const text = fc.string({ unit: 'binary', maxLength: 5 })
const toolEvent = fc.oneof(
  fc.record({
    kind: fc.constant('calls' as const),
    calls: fc.array(fc.record({ id: text, name: text, input: fc.constant({ a: ['!3', '4x2'] }) })),
  }),
  fc.record({ kind: fc.constant('result' as const), toolCallId: text, name: text, content: text }),
  fc.record({ kind: fc.constant('waiting' as const), toolCallIds: fc.array(text) }),
)
const events = fc.array(fc.oneof(text, toolEvent) as fc.Arbitrary<ReplyEvent>)

test('reads what it wrote', () => {
  fc.assert(
    fc.property(events, (list) => {
      const stored = encodeEvents(list)
      expect(decodeEvents(stored)).toEqual(list)
      expect(hasToolEvents(stored.lengths)).toBe(list.some((event) => typeof event !== 'string'))
      expect(textLengthOf(stored.lengths)).toBe(list.filter((event) => typeof event === 'string').join('').length)
    }),
  )
})

test('is short for a reply of equal pieces', () => {
  expect(encodeEvents(new Array(1_000).fill('four')).lengths).toBe('4x1000')
})

test('refuses lengths that are not those of the text', () => {
  expect(() => decodeEvents({ text: 'abc', lengths: '1x2' })).toThrow(/3 units/)
})
