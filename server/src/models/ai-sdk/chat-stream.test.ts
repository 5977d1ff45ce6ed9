import fc from 'fast-check'
import { expect, test } from 'vitest'
import { chatChunk } from '../../../../test/support/provider-server.ts'
import { createCitations } from '../replies/citations.ts'
import { createChatStream } from './chat-stream.ts'

function through(pieces: readonly Buffer[]): string {
  const stream = createChatStream({ citations: createCitations() })
  return Buffer.concat([...pieces.map((piece) => stream.push(piece)), stream.end()]).toString('utf8')
}

/** What a package hears of a stream: its texts together, its calls, its finish reason. */
function heard(stream: string) {
  const deltas = stream
    .split('\n\n')
    .filter((event) => event.startsWith('data: {'))
    .map((event) => JSON.parse(event.slice('data: '.length)).choices[0])
  return {
    text: deltas.map(({ delta }) => delta.content ?? '').join(''),
    calls: deltas.flatMap(({ delta }) => delta.tool_calls ?? []),
    finish: deltas.map(({ finish_reason }) => finish_reason).filter((reason) => reason !== null),
  }
}

const delta = (value: object, finish: string | null = null) =>
  chatChunk([{ index: 0, delta: value, finish_reason: finish }])
const cut = (text: string, cuts: readonly number[]) => {
  const bytes = Buffer.from(text)
  const ends = [...cuts.map((at) => at % bytes.length).sort((a, b) => a - b), bytes.length]
  return ends.map((end, i) => bytes.subarray(ends[i - 1] ?? 0, end))
}

test('a plain stream goes on byte for byte, wherever it is cut', () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit: 'binary', maxLength: 8 })),
      fc.array(fc.nat(), { maxLength: 8 }),
      (texts, cuts) => {
        const whole = [...texts.map((content) => delta({ content })), delta({}, 'stop'), 'data: [DONE]\n\n'].join('')
        expect(through(cut(whole, cuts))).toBe(whole)
      },
    ),
    { numRuns: 300 },
  )
})

test('one that becomes odd in its middle is heard the same, wherever it is cut', () => {
  const call = (more: object) => delta({ tool_calls: [{ index: 0, ...more }] })
  const whole = [
    delta({ content: 'Grüezi 🐈 ' }),
    ': a comment\n\n',
    delta({ content: [{ type: 'text', text: 'in parts' }] }),
    call({ id: 'a', function: { name: 'look', arguments: null } }),
    call({ function: { arguments: '{"at":"é"}' } }),
    delta({}, 'tool_calls'),
    'data: [DONE]\n\n',
  ].join('')
  fc.assert(
    fc.property(fc.array(fc.nat(), { maxLength: 8 }), (cuts) => {
      expect(heard(through(cut(whole, cuts)))).toEqual({
        text: 'Grüezi 🐈 in parts',
        calls: [{ index: 0, id: 'a', type: 'function', function: { name: 'look', arguments: '{"at":"é"}' } }],
        finish: ['tool_calls'],
      })
    }),
    { numRuns: 300 },
  )
})
