import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createTextShortcut } from './text-shortcut.ts'

/** What a reader would do with a chunk: its text, or null when there is more in it. */
function readText(data: string): string | null {
  try {
    const value = JSON.parse(data) as { text?: unknown; done?: unknown }
    return typeof value.text === 'string' && value.done === undefined ? value.text : null
  } catch {
    return null
  }
}

const event = (data: string) => `data: ${data}\n\n`
const chunk = (text: string) => JSON.stringify({ id: 7, text, last: null })
const stream = (...texts: string[]) => texts.map((text) => event(chunk(text))).join('')

function setup({ learned = chunk('a'), content = 'a' } = {}) {
  const texts: string[] = []
  let reads = 0
  const shortcut = createTextShortcut({
    readText: (data) => {
      reads++
      return readText(data)
    },
    onText: (text) => texts.push(text),
  })
  if (learned) shortcut.learn(learned, content)
  return { ...shortcut, texts, reads: () => reads }
}

test('takes nothing before it has seen a chunk', () => {
  const { take, texts } = setup({ learned: '' })
  expect(take(stream('a', 'b'), 0)).toBe(-1)
  expect(texts).toEqual([])
})

test('takes all that fit in one go, and says where they end', () => {
  const { take, texts, reads } = setup()
  const head = event('{"other":1}')
  const fitting = stream('Grüezi', ' "you"', '\n\\', '', '\ud83d', '🐈')
  const text = head + fitting + event('{"done":true}')
  expect(take(text, 0)).toBe(-1)
  expect(take(text, head.length)).toBe(head.length + fitting.length)
  expect(texts).toEqual(['Grüezi', ' "you"', '\n\\', '\ud83d', '🐈'])
  // Once to see whether the pattern is one; no chunk was read.
  expect(reads()).toBe(1)
})

test.each([
  ['an event of another kind', `${stream('b')}${event('{"done":true}')}`],
  ['an event that only begins like them', `${stream('b')}${event('{"id":7,"text":"c","last":1}')}`],
  ['a comment', `${stream('b')}: ping\n\n`],
  ['an event whose empty line has not come', `${stream('b')}data: ${chunk('c')}\n`],
  ['a text that is no JSON, though only by a tab', `${stream('b')}${event('{"id":7,"text":"c\td","last":null}')}`],
  ['the same with an empty line', `${stream('b')}${event('{"id":7,"text":"c\n\nd","last":null}')}`],
  ['one that is broken off', `${stream('b')}data: {"id":7,"text":"c`],
  ['more members of the same name', `${stream('b')}${event('{"id":7,"text":"c","text":"d","last":null}')}`],
])('stops at %s', (_name, text) => {
  for (const rest of ['', stream('z')]) {
    const { take, texts } = setup()
    expect(take(text + rest, 0)).toBe(stream('b').length)
    expect(texts).toEqual(['b'])
  }
})

test.each([
  ['the text stands somewhere else first', '{"id":"a","text":"a"}', 'a'],
  ['the text is written in another way than ours', '{"text":"\\u00e9"}', 'é'],
  ['the place is not where the text is read', '{"other":"a","text":"b"}', 'a'],
  ['what stands there is not all of it', '{"text":"a","text":"a"}', 'a'],
  ['a text there would not be the only thing', '{"text":"a","done":1}', 'a'],
])('does not learn a pattern where %s', (_name, learned, content) => {
  const { take, texts } = setup({ learned, content })
  expect(take(event(learned), 0)).toBe(-1)
  expect(texts).toEqual([])
})

test('learns another pattern when the provider changes its mind, but not for ever', () => {
  const { take, learn, texts, reads } = setup()
  const changed = (id: number, text: string) => JSON.stringify({ id, text, last: null })
  for (let id = 0; id < 50; id++) {
    const taken = take(event(changed(id, 'b')), 0)
    if (taken === -1) learn(changed(id, 'b'), 'b')
  }
  expect(texts).toEqual([])
  expect(reads()).toBe(3)
  expect(take(event(changed(1, 'b')), 0)).toBe(event(changed(1, 'b')).length)
})

test('gives up when pieces keep not fitting', () => {
  const { take, texts } = setup()
  for (let n = 0; n < 9; n++) expect(take(event(`{"id":7,"text":"b","last":${n}}`), 0)).toBe(-1)
  expect(take(stream('b'), 0)).toBe(-1)
  expect(texts).toEqual([])
})

test('a few that do not fit do not end it', () => {
  const { take, texts } = setup()
  for (let n = 0; n < 8; n++) expect(take(event(`{"id":7,"text":"b","last":${n}}`), 0)).toBe(-1)
  expect(take(stream('b'), 0)).toBe(stream('b').length)
  expect(texts).toEqual(['b'])
})

/** Texts made of what stands around texts in a stream, as it is and in escaped form. */
const surroundings = fc
  .array(
    fc.oneof(
      fc.constantFrom('"', '\\', '\\"', '\\\\', '","last":null}\n\ndata: {"id":7,"text":"', '"}', '\n\n', 'data: '),
      fc.constantFrom(chunk('a'), event(chunk('a')), JSON.stringify(chunk('a')), 'dramatis-probe', '\u2028', '\ud800'),
      fc.string({ unit: 'binary', maxLength: 6 }),
    ),
    { maxLength: 6 },
  )
  .map((parts) => parts.join(''))

test('a text may hold what stands around it', () => {
  fc.assert(
    fc.property(surroundings, fc.array(surroundings, { maxLength: 12 }), (first, texts) => {
      const shortcut = setup({ learned: chunk(first), content: first })
      const whole = stream(...texts)
      const end = shortcut.take(whole, 0)
      // Nothing is learned where the first text stands somewhere else too.
      if (end === -1) expect(shortcut.texts).toEqual([])
      else {
        expect(end).toBe(whole.length)
        expect(shortcut.texts).toEqual(texts.filter((text) => text !== ''))
      }
    }),
    { numRuns: 500 },
  )
})

test('what it takes of any stream is what reading each event says', () => {
  const anything = fc.oneof(
    surroundings.map((text) => event(chunk(text))),
    surroundings.map((text) => event(JSON.stringify({ id: 7, text, last: 1 }))),
    surroundings.map((text) => event(JSON.stringify({ id: 8, text, last: null }))),
    fc.constantFrom(': ping\n\n', 'data: [DONE]\n\n', '\n', 'id: 7\n', 'event: error\n'),
  )
  fc.assert(
    fc.property(fc.array(anything, { maxLength: 12 }), (events) => {
      const { take, texts } = setup()
      const whole = events.join('')
      for (let at = 0, n = 0; n < events.length; ) {
        const before = texts.length
        const end = take(whole, at)
        if (end === -1) {
          at += (events[n++] as string).length
          continue
        }
        const own: string[] = []
        for (; at < end; at += (events[n++] as string).length) {
          const text = readText((events[n] as string).slice('data: '.length).trimEnd())
          if (text !== '') own.push(text as string)
        }
        expect(at).toBe(end)
        expect(texts.slice(before)).toEqual(own)
      }
    }),
    { numRuns: 500 },
  )
})
