import { expect, test } from 'vitest'
import { createThoughtSplitter } from './thought-tags.ts'

const WHOLES: [name: string, text: string, answer: string, thoughts: string][] = [
  ['no thoughts', '  Hello <b>you</b>', '  Hello <b>you</b>', ''],
  ['tags', '<think>\nplan\n</think>\n\nAnswer', 'Answer', '\nplan\n'],
  ['tags in capitals', '<THINK>plan</Think>Answer', 'Answer', 'plan'],
  ['white space before', '\n <thinking>plan</thinking> Answer', 'Answer', 'plan'],
  ['a relative', '<reasoning>plan</reasoning>\nAnswer', 'Answer', 'plan'],
  ['one more', '<thought>plan</thought>\nAnswer', 'Answer', 'plan'],
  ['brackets', '[THINK]plan[/THINK]Answer', 'Answer', 'plan'],
  ['Kimi', '◁think▷plan◁/think▷Answer', 'Answer', 'plan'],
  ['Gemma', '<|channel>thought\nplan<channel|>Answer', 'Answer', '\nplan'],
  ['two blocks', '<think>a</think>\n<think>b</think>\nAnswer <think>', 'Answer <think>', 'ab'],
  ['another tag within', '<think>a <b> </thin </think>Answer', 'Answer', 'a <b> </thin '],
  ['none that is whole', '<thin', '<thin', ''],
  ['no end', '<think>plan', '', 'plan'],
  ['an end alone', 'plan it.\n</think>\n\nAnswer', 'Answer', 'plan it.\n'],
  ['an end in a line', 'plan it</think>Answer', 'Answer', 'plan it'],
  ['nothing but an end', '</think>\n\nAnswer', 'Answer', ''],
  ['a mention', 'Write <think> and </think> around it.', 'Write <think> and </think> around it.', ''],
  ['an end that is mentioned', 'Close it with </think>.\n', 'Close it with </think>.\n', ''],
  ['code', 'So:\n```\n</think>\n```\n', 'So:\n```\n</think>\n```\n', ''],
  ['a quote', 'The `</think>` tag', 'The `</think>` tag', ''],
  [
    'Harmony',
    '<|channel|>analysis<|message|>plan<|end|><|start|>assistant<|channel|>final<|message|>Answer<|return|>',
    'Answer',
    'plan',
  ],
  ['Harmony of the answer alone', '<|channel|>final<|message|>Answer', 'Answer', ''],
]

for (const size of [1, 3, 1_000]) {
  test.each(WHOLES)(`of %s, in pieces of ${size}`, (_name, text, answer, thoughts) => {
    expect(split(text, size)).toMatchObject({ answer, thoughts })
  })
}

test('says what has gone out before as soon as it turns out to have been thoughts', () => {
  expect(split('plan </b> it\n</think>\nAnswer', 4)).toMatchObject({ answer: 'Answer', moved: 1, hadNoBeginning: true })
})

test('what was thought stands whole, for those who want it back', () => {
  const { tagged, answer } = split('<think>\nplan\n</think>\n\nAnswer', 2)
  expect(`${tagged}${answer}`).toBe('<think>\nplan\n</think>\n\nAnswer')
})

test('a text that is assumed to begin with thoughts is one after all where no end comes', () => {
  expect(split('Answer', 2, true)).toMatchObject({ answer: 'Answer' })
  expect(split('plan\n</think>\n\nAnswer', 2, true)).toMatchObject({ answer: 'Answer', thoughts: 'plan\n', moved: 0 })
})

test('nothing waits that is no beginning of a tag', () => {
  const texts: string[] = []
  const splitter = createThoughtSplitter({ onText: (text) => texts.push(text), onThought() {}, onWasThought() {} })
  for (const piece of ['It', ' is <', 'b', '> 7']) splitter.push(piece)
  expect(texts).toEqual(['It', ' is ', '<b', '> 7'])
})

function split(text: string, size: number, isAssumed = false) {
  let answer = ''
  let thoughts = ''
  let moved = 0
  const splitter = createThoughtSplitter(
    {
      onText(piece) {
        answer += piece
      },
      onThought(piece) {
        thoughts += piece
      },
      onWasThought() {
        thoughts += answer
        answer = ''
        moved++
      },
    },
    isAssumed,
  )
  const units = [...text]
  for (let at = 0; at < units.length; at += size) splitter.push(units.slice(at, at + size).join(''))
  splitter.flush()
  return { answer, thoughts, moved, tagged: splitter.tagged(), hadNoBeginning: splitter.hadNoBeginning() }
}
