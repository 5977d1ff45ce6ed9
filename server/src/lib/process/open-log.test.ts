import { expect, test } from 'vitest'
import { openLog } from './open-log.ts'

function logged(write: (log: ReturnType<typeof openLog>) => void): { text: string; err: Record<string, unknown> } {
  let text = ''
  const redact = (words: string) => words.replaceAll('hunter2', '***')
  write(
    openLog(
      { level: 'info', redact },
      {
        write: (line) => {
          text += line
        },
      },
    ),
  )
  return { text, err: (JSON.parse(text) as { err: Record<string, unknown> }).err }
}

test('an error is logged with its words, its causes and the places in the code, without secrets', () => {
  const cause = new TypeError('the key hunter2 is wrong')
  const { err, text } = logged((log) => log.error({ err: new Error('it failed', { cause }) }, 'oh'))
  expect(err).toMatchObject({ type: 'Error', message: 'it failed: the key *** is wrong' })
  expect(err['stack']).toMatch(/Error: it failed\n {4}at [\s\S]*caused by: TypeError: the key \*\*\* is wrong/)
  expect(text).not.toContain('hunter2')
})

test('nothing that packages attach to errors is logged, but for codes', () => {
  const request = Object.assign(new Error('refused'), {
    code: 'ECONNREFUSED',
    statusCode: 400,
    requestBodyValues: { messages: ['You are Canary'] },
    responseBody: 'You are Canary',
    detail: 'Key (content)=(You are Canary) already exists.',
    headers: { authorization: 'Bearer hunter2' },
    nested: new Error('You are Canary'),
  })
  const { err, text } = logged((log) => log.error({ err: request }, 'oh'))
  expect(text).not.toContain('Canary')
  expect(Object.keys(err).toSorted()).toEqual(['code', 'message', 'stack', 'type'])
  const several = logged((log) => log.error({ err: new AggregateError([request], 'all failed') }, 'oh'))
  expect(several.err['several']).toEqual(['refused'])
  expect(several.text).not.toContain('Canary')
})

test('what is no error is a text or nothing', () => {
  expect(logged((log) => log.error({ err: 'the word is hunter2' }, 'oh')).err).toBe('the word is ***')
  expect(logged((log) => log.error({ err: { headers: { a: 'hunter2' } } }, 'oh')).err).toBeNull()
})
