import { afterEach, describe, expect, test } from 'vitest'
import { AppError } from '../errors.ts'
import { createMainThread } from '../lib/fairness/main-thread.ts'
import type { JsonObject, JsonValue } from '../lib/json.ts'
import { createSchemaChecks, type SchemaChecks } from './schema-checks.ts'

let checks: SchemaChecks | undefined
afterEach(() => checks?.close())

/** `later` moves the clock on. */
function open(timeLimitMs?: number) {
  let moved = 0
  checks = createSchemaChecks({
    mainThread: createMainThread(),
    now: () => performance.now() + moved,
    ...(timeLimitMs && { timeLimitMs }),
  })
  const later = (ms: number) => {
    moved += ms
  }
  return { checks, later }
}

const text = { type: 'object', properties: { a: { type: 'string' } }, required: ['a'] }
const slowPattern = { properties: { a: { pattern: '^(a+)+$' } } }
const slowValue = { a: `${'a'.repeat(40)}!` }
const doubling = {
  $ref: '#/$defs/0',
  $defs: {
    ...Object.fromEntries(
      Array.from({ length: 40 }, (_, i) => [
        i,
        { allOf: [{ $ref: `#/$defs/${i + 1}` }, { $ref: `#/$defs/${i + 1}` }] },
      ]),
    ),
    40: { type: 'string' },
  },
}

describe('a schema', () => {
  test('is compiled, and values are checked against it', async () => {
    const { checks } = open()
    expect(await checks.compile(['o', 'k'], [text])).toBeNull()
    expect(await checks.issuesOf(['o', 'k'], text, { a: 'x' })).toEqual([])
    expect(await checks.issuesOf(['o', 'k'], text, { a: 1 })).toEqual(['/a must be string'])
    expect(await checks.issuesOf(['o', 'k'], text, {})).toEqual([" must have required property 'a'"])
    expect(await checks.issuesOf(['o', 'k'], true, 1)).toEqual([])
  })

  test('has no properties that all objects have', async () => {
    const { checks } = open()
    const schema = { properties: { constructor: { type: 'string' } }, required: ['toString'] }
    expect(await checks.issuesOf(['o', 'k'], schema, {})).toEqual([" must have required property 'toString'"])
  })

  test.each<[string, JsonObject]>([
    ['type', { type: 'any' }],
    ['pattern', { pattern: '(' }],
    ['enum', { enum: 'a' }],
    ['required', { required: true }],
  ])('with a wrong %s is none, and it is told which of several', async (name, schema) => {
    const { checks } = open()
    const wrong = await checks.compile(['o', 'k'], [text, schema, text])
    expect(wrong).toEqual({ at: 1, path: '', issue: expect.stringContaining('is no valid JSON Schema') })
    if (name !== 'pattern') expect(wrong?.issue).toContain(`/${name}`)
  })

  test('that refers to itself without end is an issue and not an end', async () => {
    const { checks } = open()
    expect(await checks.issuesOf(['o', 'k'], { $ref: '#' }, {})).toEqual([
      ' cannot be checked: its schema is no valid JSON Schema: it has no end',
    ])
    expect(await checks.issuesOf(['o', 'k'], text, { a: 'x' })).toEqual([])
  })

  test('is not asked about values that are nested deeper than a thread can be given them', async () => {
    const { checks } = open()
    const deep = JSON.parse(`${'['.repeat(100_000)}${']'.repeat(100_000)}`) as JsonValue
    expect(await checks.issuesOf(['o', 'k'], true, deep)).toEqual([' has more than 200 levels'])
  })
})

describe('what takes too long', () => {
  test.each<[string, JsonValue, JsonValue]>([
    ['a pattern', slowPattern, slowValue],
    ['references that double', doubling, 'a'],
    [
      'unique items',
      { uniqueItems: true },
      Array.from({ length: 30_000 }, (_, i) => ({ a: { b: { c: [1, 2, 3, i] } } })),
    ],
  ])('is stopped: %s', async (_name, schema, value) => {
    const { checks } = open()
    expect(await checks.issuesOf(['o', 'k'], schema, value)).toEqual([' takes too long to check'])
    // And the thread is there again.
    expect(await checks.issuesOf(['o', 'k'], text, { a: 'x' })).toEqual([])
  })

  test('is stopped while it is compiled, too, and it is told which of several', async () => {
    const { checks } = open(100)
    const large = {
      properties: Object.fromEntries(
        Array.from({ length: 1_900 }, (_, i) => [`p${i}`, { type: 'string', minLength: i, maxLength: i }]),
      ),
    }
    expect(await checks.compile(['o', 'k'], [true, large])).toEqual({
      at: 1,
      path: '',
      issue: 'takes too long to check',
    })
  })

  test('is refused at once for a while, to its owner only', async () => {
    const { checks, later } = open()
    await checks.issuesOf(['o', 'k'], slowPattern, slowValue)
    // Nothing is run: what is quick for this schema is refused as well.
    expect(await checks.issuesOf(['o', 'k'], slowPattern, { a: 'a' })).toEqual([' takes too long to check'])
    expect(await checks.compile(['o', 'k'], [text, slowPattern])).toEqual({
      at: 1,
      path: '',
      issue: 'takes too long to check',
    })
    expect(await checks.issuesOf(['other', 'k'], slowPattern, { a: 'a' })).toEqual([])
    later(61_000)
    expect(await checks.issuesOf(['o', 'k'], slowPattern, { a: 'a' })).toEqual([])
  })

  test('does not hold up others, nor does who was slow once take the thread that is kept for them', async () => {
    const { checks } = open()
    const order: string[] = []
    const note = async (name: string, work: Promise<unknown>) => {
      await work
      order.push(name)
    }
    const slow = (owner: string, length: number) =>
      note(owner, checks.issuesOf([owner, 'k'], slowPattern, { a: `${'a'.repeat(length)}!` }))
    await Promise.all([slow('first', 40), slow('second', 40)])
    // Both have been slow, so they share one thread now, with schemas that nobody has stopped yet.
    const other = { properties: { b: { pattern: '^(a+)+$' } } }
    const again = ['first', 'second'].map((owner) =>
      note(owner, checks.issuesOf([owner, 'k'], other, { b: `${'a'.repeat(40)}!` })),
    )
    await note('quick', checks.issuesOf(['quick', 'k'], text, { a: 'x' }))
    expect(order).toEqual([expect.any(String), expect.any(String), 'quick'])
    await Promise.all(again)
  })
})

test('a value has a size, beyond which it is not looked at', async () => {
  const { checks } = open()
  const small = JSON.stringify({ a: '' }).length
  expect(await checks.issuesOf(['o', 'k'], text, { a: 'x'.repeat(2_097_152 - small) })).toEqual([])
  expect(await checks.issuesOf(['o', 'k'], text, { a: 'x'.repeat(2_097_153 - small) })).toEqual([
    ' is larger than 2097152 characters',
  ])
})

test('what takes too much memory is stopped, and the process goes on', async () => {
  // Longer than this test may take: it is not the time that is over.
  const { checks } = open(600_000)
  const value = Array.from({ length: 400_000 }, () => 1)
  const schema = { items: { allOf: Array.from({ length: 50 }, () => ({ type: 'string' })) } }
  expect(await checks.issuesOf(['o', 'k'], schema, value)).toEqual([' takes too long to check'])
  expect(await checks.issuesOf(['o', 'k'], text, { a: 'x' })).toEqual([])
})

test('after the end nothing waits for ever', async () => {
  const { checks } = open()
  await checks.compile(['o', 'k'], [text])
  const running = checks.issuesOf(['o', 'k'], slowPattern, slowValue)
  const waiting = checks.compile(['o', 'k'], [text])
  const failed = Promise.allSettled([running, waiting])
  // By then one is in the thread and the other in the line.
  for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate)
  await checks.close()
  expect(await failed).toEqual([
    { status: 'fulfilled', value: [expect.stringContaining('cannot be checked')] },
    { status: 'rejected', reason: expect.any(AppError) },
  ])
  await expect(checks.compile(['o', 'k'], [text])).rejects.toThrow('the server is stopping')
})

test('one key fills the line for itself only', async () => {
  const { checks } = open()
  await checks.compile(['o', 'k'], [text])
  let done = 0
  const all = Array.from({ length: 6_000 }, async () => {
    const issues = await checks.issuesOf(['o', 'k'], text, { a: 'x' })
    done++
    return issues
  })
  for (const path of [
    ['o', 'other'],
    ['other', 'k'],
  ]) {
    const before = done
    expect(await checks.issuesOf(path, text, { a: 1 })).toEqual(['/a must be string'])
    // Those that are refused are many, and at once.
    expect(done - before).toBeLessThan(3_000)
  }
  const issues = (await Promise.all(all)).flat()
  expect(issues.length).toBeGreaterThan(0)
  expect(new Set(issues)).toEqual(new Set([' cannot be checked: too many schemas wait to be checked']))
}, 30_000)

test('a slow key does not hold up another of its organization, and many slow ones are their organization', async () => {
  const { checks } = open(500)
  const slowly = (path: string[]) => checks.issuesOf(path, { ...slowPattern, title: path.join() }, slowValue)
  await slowly(['o', 'a'])
  let isOver = false
  const other = { properties: { b: { pattern: '^(a+)+$' } } }
  const running = checks.issuesOf(['o', 'a'], other, { b: slowValue.a }).then(() => {
    isOver = true
  })
  expect(await checks.issuesOf(['o', 'b'], text, { a: 'x' })).toEqual([])
  expect(isOver).toBe(false)
  await running
  for (const key of ['c', 'd', 'e']) await slowly(['o', key])
  // A new key of it waits behind what is slow of it, and another organization does not.
  const order: string[] = []
  const note = (name: string, work: Promise<unknown>) => work.then(() => order.push(name))
  await Promise.all([
    note('slow', slowly(['o', 'f'])),
    note('new', checks.issuesOf(['o', 'g'], text, { a: 'x' })),
    note('elsewhere', checks.issuesOf(['p', 'g'], text, { a: 'x' })),
  ])
  expect(order).toEqual(['elsewhere', 'slow', 'new'])
}, 30_000)
