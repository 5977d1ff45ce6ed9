import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { ModelMessage, ModelRequest } from '../model.ts'
import { createBodyWriter } from './request-body.ts'

const anyMessage = fc.oneof(
  fc.record({ role: fc.constant('user' as const), content: fc.string({ unit: 'grapheme' }) }),
  fc.record({ role: fc.constant('assistant' as const), content: fc.string({ unit: 'grapheme' }) }),
)
const requestWith = (system: string | null, messages: ModelMessage[]): ModelRequest => ({
  system,
  messages,
  settings: { temperature: 0.5 },
  attempt: 0,
  signal: new AbortController().signal,
})

test('a body says what was said, in its order, whether or not it was made ready before', () => {
  const writer = createBodyWriter({ aiSystem: 'ollama', model: 'm1' })
  fc.assert(
    fc.property(fc.option(fc.string()), fc.array(anyMessage), fc.boolean(), (system, messages, isPrepared) => {
      if (isPrepared) writer.prepare(messages)
      const body = JSON.parse(writer.write(requestWith(system, messages)))
      expect(body).toEqual({
        model: 'm1',
        stream: true,
        stream_options: { include_usage: true },
        temperature: 0.5,
        messages: [...(system === null ? [] : [{ role: 'system', content: system }]), ...messages],
      })
    }),
  )
})

test('what was made ready is used once, and not kept for as long as the reply goes on', () => {
  const writer = createBodyWriter({ aiSystem: 'ollama', model: 'm1' })
  const messages: ModelMessage[] = [{ role: 'user', content: 'Before' }]
  const said = () => JSON.parse(writer.write(requestWith(null, messages))).messages[0].content
  writer.prepare(messages)
  // Nobody does this: it shows which of the two was written.
  messages[0] = { role: 'user', content: 'Behind' }
  expect([said(), said()]).toEqual(['Before', 'Behind'])
})
