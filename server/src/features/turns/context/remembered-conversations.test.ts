import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { ConversationForTurn, Message, Standing } from '../../conversations/conversation.ts'
import { createRememberedConversations } from './remembered-conversations.ts'
import { type ReadNewest, readWindow, tokensOf } from './window.ts'

const MINUTE = 60_000

const idOf = (n: number) => `m${String(n).padStart(4, '0')}`
const message = (n: number, content = `Message ${n}`) =>
  ({ id: idOf(n), role: n % 2 === 0 ? 'user' : 'assistant', content }) as Message
const messages = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => message(from + i))

/** A conversation whose newest message is `last`, with a system message besides. */
function conversation(last: number, fields: Partial<ConversationForTurn> = {}): ConversationForTurn {
  return {
    id: 'c',
    organizationId: 'o',
    systemText: null,
    systemMessageId: 's',
    lastMessageId: idOf(last),
    messageCount: last + 2,
    ...fields,
  } as ConversationForTurn
}
const standingOf = ({ lastMessageId, messageCount }: ConversationForTurn): Omit<Standing, 'name'> => ({
  lastMessageId,
  messageCount,
})

/** What a database with these messages answers, and how often it was asked. */
function stored(all: readonly Message[]) {
  const reads: number[] = []
  const read: ReadNewest = async (before, limit) => {
    reads.push(limit)
    return all
      .filter(({ id }) => id <= before)
      .slice(-limit)
      .reverse()
  }
  return { read, reads }
}

function setup(mostUnits?: number) {
  let at = 0
  const talk = createRememberedConversations({ now: () => at, ...(mostUnits !== undefined && { mostUnits }) })
  const pass = (ms: number) => {
    at += ms
  }
  return { ...talk, pass }
}

describe('what was kept', () => {
  test('is found by its organization alone', () => {
    const { remember, find } = setup()
    const kept = conversation(1)
    remember(kept, { messages: messages(0, 2), isWhole: true })
    expect(find({ organizationId: 'o', conversationId: 'c' })).toBe(kept)
    expect(find({ organizationId: 'other', conversationId: 'c' })).toBeUndefined()
    expect(find({ organizationId: 'o', conversationId: 'other' })).toBeUndefined()
  })

  test('is what was kept last', () => {
    const { remember, find } = setup()
    remember(conversation(1), { messages: messages(0, 2), isWhole: true })
    remember(conversation(3), { messages: messages(0, 4), isWhole: true })
    expect(find({ organizationId: 'o', conversationId: 'c' })?.lastMessageId).toBe(idOf(3))
  })

  test('is gone when it is forgotten, and takes no place then', () => {
    const { remember, find, forget, size } = setup()
    remember(conversation(1), { messages: messages(0, 2), isWhole: true })
    expect(size()).toBeGreaterThan(0)
    forget('c')
    forget('c')
    expect(find({ organizationId: 'o', conversationId: 'c' })).toBeUndefined()
    expect(size()).toBe(0)
  })
})

describe('bounds', () => {
  const rememberTalk = ({ remember }: ReturnType<typeof setup>, id: string, content: string) =>
    remember(conversation(0, { id }), { messages: [message(0, content)], isWhole: true })
  const known = ({ find }: ReturnType<typeof setup>, ids: string) =>
    [...ids].filter((conversationId) => find({ organizationId: 'o', conversationId })).join('')

  test('those that were left longest ago go first', () => {
    const talk = setup(10_000)
    for (const id of 'abc') rememberTalk(talk, id, 'x'.repeat(1_000))
    expect([known(talk, 'abc'), talk.size() <= 10_000]).toEqual(['abc', true])
    rememberTalk(talk, 'a', 'again')
    rememberTalk(talk, 'd', 'x'.repeat(1_000))
    expect([known(talk, 'abcd'), talk.size() <= 10_000]).toEqual(['acd', true])
  })

  test('one that is larger than all may be is not kept', () => {
    const talk = setup(10_000)
    rememberTalk(talk, 'a', 'x')
    rememberTalk(talk, 'b', 'x'.repeat(10_000))
    expect([known(talk, 'ab'), talk.size()]).toEqual(['', 0])
  })

  test('a system text counts, and so does each message', () => {
    const talk = setup(20_000)
    talk.remember(conversation(0, { systemText: 'x'.repeat(20_000) }), { messages: [], isWhole: true })
    expect(talk.size()).toBe(0)
    talk.remember(conversation(99), {
      messages: messages(0, 100).map((one) => ({ ...one, content: '' })),
      isWhole: true,
    })
    expect(talk.size()).toBe(0)
  })

  test('so do its configuration, and the calls and files of its messages', () => {
    const sizeWith = (fields: object, messageFields: object) => {
      const talk = setup()
      const one = { ...message(0), ...messageFields } as Message
      talk.remember(conversation(0, fields), { messages: [one], isWhole: true })
      return talk.size()
    }
    const large = { text: 'x'.repeat(5_000) }
    const least = sizeWith({}, {})
    expect(sizeWith({ configuration: large }, {})).toBeGreaterThan(least + 5_000)
    expect(sizeWith({}, { toolCalls: [{ id: 'c', name: 'n', input: large }] })).toBeGreaterThan(least + 5_000)
    expect(sizeWith({}, { attachments: [large] })).toBeGreaterThan(least + 5_000)
  })

  test('what nobody goes on with is also forgotten without another turn', () => {
    const talk = setup()
    rememberTalk(talk, 'a', 'x')
    talk.pass(9 * MINUTE)
    talk.forgetOldest()
    expect(known(talk, 'a')).toBe('a')
    talk.pass(2 * MINUTE)
    talk.forgetOldest()
    expect([known(talk, 'a'), talk.size()]).toEqual(['', 0])
  })

  test('what nobody goes on with for ten minutes is forgotten with the next turn of anybody', () => {
    const talk = setup()
    rememberTalk(talk, 'a', 'x')
    talk.pass(6 * MINUTE)
    rememberTalk(talk, 'b', 'x')
    talk.pass(5 * MINUTE)
    rememberTalk(talk, 'c', 'x')
    expect(known(talk, 'abc')).toBe('bc')
  })

  test('however much is kept and forgotten, no more is held than may be, and nothing is counted twice', () => {
    const act = fc.record({
      id: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
      length: fc.nat({ max: 9_000 }),
      isForgotten: fc.boolean(),
      pass: fc.nat({ max: 4 * MINUTE }),
    })
    fc.assert(
      fc.property(fc.array(act), (acts) => {
        const talk = setup(20_000)
        for (const { id, length, isForgotten, pass } of acts) {
          talk.pass(pass)
          if (isForgotten) talk.forget(id)
          else rememberTalk(talk, id, 'x'.repeat(length))
          expect(talk.size()).toBeLessThanOrEqual(20_000)
        }
        for (const id of 'abcde') talk.forget(id)
        expect(talk.size()).toBe(0)
      }),
    )
  })
})

describe('reading', () => {
  /** A talk of ten messages of which the newest from `from` on are remembered; message 10 has come since. */
  function remembering(from: number, isWhole: boolean) {
    const talk = setup()
    const left = conversation(9)
    talk.remember(left, { messages: messages(from, 10), isWhole })
    return { ...talk, left, newest: message(10), database: stored(messages(0, 11)) }
  }

  test('does not ask the database for what is remembered', async () => {
    const { readFrom, left, newest, database } = remembering(0, true)
    const page = await readFrom(left, standingOf(left), newest, database.read)(newest.id, 64)
    expect(page).toEqual(messages(0, 11).reverse())
    expect(database.reads).toEqual([])
  })

  test('asks it for the rest when what is remembered is not all', async () => {
    const { readFrom, left, newest, database } = remembering(6, false)
    const read = readFrom(left, standingOf(left), newest, database.read)
    expect(await read(newest.id, 5)).toEqual(messages(6, 11).reverse())
    expect(database.reads).toEqual([])
    expect(await read(newest.id, 64)).toEqual(messages(0, 11).reverse())
    expect(database.reads).toEqual([60])
  })

  test.each([
    ['another newest message', { lastMessageId: idOf(8), messageCount: 11 }],
    ['another number of messages', { lastMessageId: idOf(9), messageCount: 10 }],
    ['no message', { lastMessageId: null, messageCount: 11 }],
  ])('asks it for all when the conversation stands with %s', async (_name, standing) => {
    const { readFrom, left, newest, database } = remembering(0, true)
    expect(readFrom(left, standing, newest, database.read)).toBe(database.read)
  })

  test('asks it for all when the conversation is of another organization, or another', () => {
    const { readFrom, left, newest, database } = remembering(0, true)
    for (const other of [{ organizationId: 'other' }, { id: 'other' }]) {
      expect(readFrom({ ...left, ...other }, standingOf(left), newest, database.read)).toBe(database.read)
    }
  })

  test('asks it for all when the talk was forgotten', () => {
    const { readFrom, forget, left, newest, database } = remembering(0, true)
    forget('c')
    expect(readFrom(left, standingOf(left), newest, database.read)).toBe(database.read)
  })

  test('needs no memory where nothing has been said', async () => {
    const { readFrom } = setup()
    const { read, reads } = stored(messages(0, 1))
    const newest = message(0)
    for (const [systemMessageId, messageCount] of [
      ['s', 1],
      [null, 0],
    ] as const) {
      const begun = conversation(0, { systemMessageId, lastMessageId: systemMessageId, messageCount })
      expect(await readFrom(begun, standingOf(begun), newest, read)(newest.id, 64)).toEqual([newest])
    }
    // A greeting of the persona.
    const greeted = conversation(0, { systemMessageId: null, messageCount: 1 })
    expect(readFrom(greeted, standingOf(greeted), newest, read)).toBe(read)
    expect(reads).toEqual([])
  })

  test('gives the same pages wherever the talk is split between memory and database', async () => {
    const look = fc.record({ before: fc.nat({ max: 40 }), limit: fc.integer({ min: 1, max: 45 }) })
    await fc.assert(
      fc.asyncProperty(
        fc.nat({ max: 40 }),
        fc.nat({ max: 40 }),
        fc.array(look, { maxLength: 8 }),
        async (length, split, looks) => {
          const all = messages(0, length + 1)
          const from = Math.min(split, length)
          const talk = setup()
          const left = conversation(length - 1)
          talk.remember(left, { messages: all.slice(from, length), isWhole: from === 0 })
          const full = stored(all).read
          const read = talk.readFrom(left, standingOf(left), message(length), stored(all).read)
          for (const { before, limit } of looks) {
            expect(await read(idOf(before), limit)).toEqual(await full(idOf(before), limit))
          }
        },
      ),
      { numRuns: 500 },
    )
  })

  test('stays with what is remembered as long as the window has no room for more', async () => {
    const all = messages(0, 501)
    const database = stored(all)
    // One message in it is as long as another.
    const window = await readWindow(database.read, idOf(499), 100 * tokensOf(message(499)))
    expect(window).toMatchObject({ isWhole: false, messages: { length: 100 } })
    const { remember, readFrom } = setup()
    const left = conversation(499)
    remember(left, window)
    database.reads.length = 0
    const read = readFrom(left, standingOf(left), message(500), database.read)
    const next = await readWindow(read, idOf(500), 100 * tokensOf(message(500)))
    // The 100th would be an answer without its question.
    expect(next.messages.map(({ id }) => id)).toEqual(all.slice(-99).map(({ id }) => id))
    expect(database.reads).toEqual([])
  })

  test('knows where a summary ends that stands for what is older', async () => {
    const all = messages(0, 101)
    const database = stored(all)
    const { remember, readFrom } = setup()
    const left = conversation(99)
    remember(left, await readWindow(database.read, idOf(99), 100_000, idOf(79)))
    database.reads.length = 0
    const read = readFrom(left, standingOf(left), message(100), database.read)
    const idsBehind = async (n: number) =>
      (await readWindow(read, idOf(100), 100_000, idOf(n))).messages.map(({ id }) => id)
    expect(await idsBehind(79)).toEqual(all.slice(80).map(({ id }) => id))
    // There is a newer summary by now.
    expect(await idsBehind(89)).toEqual(all.slice(90).map(({ id }) => id))
    expect(database.reads).toEqual([])
    // Or the last one is gone, and an older one counts again.
    expect(await idsBehind(69)).toEqual(all.slice(70).map(({ id }) => id))
    expect(database.reads.length).toBe(1)
  })

  test('makes the same window of it, wherever summaries end', async () => {
    const end = fc.option(fc.nat({ max: 200 }))
    await fc.assert(
      fc.asyncProperty(
        ...[fc.integer({ min: 1, max: 200 }), fc.nat({ max: 3_000 }), fc.nat({ max: 3_000 }), end, end],
        async (length, budget, nextBudget, end, nextEnd) => {
          const all = messages(0, length + 1)
          const { read } = stored(all)
          const idOr = (n: number | null) => (n === null ? null : idOf(Math.min(n, length - 1)))
          const talk = setup()
          const left = conversation(length - 1)
          talk.remember(left, await readWindow(read, idOf(length - 1), budget, idOr(end)))
          const remembered = talk.readFrom(left, standingOf(left), message(length), read)
          const next = await readWindow(remembered, idOf(length), nextBudget, idOr(nextEnd))
          expect(next).toEqual(await readWindow(read, idOf(length), nextBudget, idOr(nextEnd)))
        },
      ),
      { numRuns: 500 },
    )
  })

  test('makes the same window of it, whatever the budget', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat({ max: 400 }),
        fc.nat({ max: 400 }),
        fc.nat({ max: 4_000 }),
        async (length, split, budget) => {
          const all = messages(0, length + 1)
          const from = Math.min(split, length)
          const talk = setup()
          const left = conversation(length - 1)
          talk.remember(left, { messages: all.slice(from, length), isWhole: from === 0 })
          const newest = message(length)
          const read = talk.readFrom(left, standingOf(left), newest, stored(all).read)
          expect(await readWindow(read, newest.id, budget)).toEqual(
            await readWindow(stored(all).read, newest.id, budget),
          )
        },
      ),
    )
  })
})
