import { describe, expect, test } from 'vitest'
import { type Database, type Statement, StorageError, WriteConflict } from '../../../storage/database.ts'
import { sqliteDialect } from '../../../storage/sqlite/sqlite.ts'
import { createReplyLog } from './reply-log.ts'

/** A database whose commits last until the test says that they are over. */
function setup() {
  const commits: { texts: string[]; end(touched?: number): Promise<void> }[] = []
  const write = (batch: readonly Statement[]) =>
    new Promise<number[]>((resolve) => {
      const texts = batch.map(({ parameters }) => String(parameters[1]))
      const end = async (touched = 1) => {
        resolve(batch.map(() => touched))
        await settled()
      }
      commits.push({ texts, end })
    })
  const log = createReplyLog({ database: { dialect: sqliteDialect, write } as unknown as Database, patienceMs: 1_000 })
  const lost: string[] = []
  const open = (runId: string) =>
    log.open({ organizationId: 'o', conversationId: 'c', runId, fence: 1, onLost: () => lost.push(runId) })
  return { open, commits, lost }
}

const settled = () => new Promise((resolve) => setImmediate(resolve)) as Promise<void>

test('what comes in one go is one commit, and shown when that is over', async () => {
  const { open, commits } = setup()
  const run = open('r')
  for (let n = 0; n < 40; n++) run.append(`${n} `)
  await settled()
  expect(commits.map(({ texts }) => texts)).toEqual([[Array.from({ length: 40 }, (_, n) => `${n} `).join('')]])
  expect(run.committed).toBe(0)
  await commits[0]?.end()
  expect(run.committed).toBe(40)
  expect(commits).toHaveLength(1)
})

test('while a commit is under way the next one gathers', async () => {
  const { open, commits } = setup()
  const run = open('r')
  let told = 0
  run.watch(() => told++)
  for (let n = 0; n < 40; n++) {
    run.append('x')
    await settled()
  }
  expect(commits.map(({ texts }) => texts)).toEqual([['x']])
  await commits[0]?.end()
  await commits[1]?.end()
  expect(commits.map(({ texts }) => texts)).toEqual([['x'], ['x'.repeat(39)]])
  expect([run.committed, told]).toEqual([40, 2])
})

test('runs at the same time share a commit, in the order of their ids', async () => {
  const { open, commits } = setup()
  const runs = ['d', 'b', 'c', 'a'].map(open)
  for (const [i, run] of runs.entries()) run.append(`${i}`)
  await settled()
  expect(commits.map(({ texts }) => texts)).toEqual([['3', '1', '2', '0']])
  await commits[0]?.end()
  expect(runs.map(({ committed }) => committed)).toEqual([1, 1, 1, 1])
})

test('a run that ends while others are written leaves the rest of its events to its end', async () => {
  const { open, commits } = setup()
  const [first, second] = [open('a'), open('b')]
  first.append('x')
  await settled()
  second.append('y')
  await second.settle()
  await commits[0]?.end()
  expect(commits).toHaveLength(1)
  expect(second.committed).toBe(0)
  second.close({
    status: 'completed',
    finishReason: 'stop',
    usage: { promptTokens: 0, completionTokens: 0 },
    error: null,
  })
  expect(second.committed).toBe(1)
})

test('a run whose turn is held by somebody else is lost, and the others go on', async () => {
  const { open, commits, lost } = setup()
  const run = open('a')
  run.append('x')
  await settled()
  await commits[0]?.end(0)
  expect(lost).toEqual(['a'])
  const other = open('b')
  other.append('y')
  await settled()
  await commits[1]?.end()
  expect([run.committed, other.committed]).toEqual([0, 1])
})

describe('a database that goes away', () => {
  /** Each write is answered by the next of these; then all go well. */
  function withAnswers(answers: (Error | 'stored, and not heard')[], patienceMs = 1_000) {
    const stored = new Map<string, string>()
    const writes: string[][] = []
    const write = async (batch: readonly Statement[]) => {
      const texts = batch.map(({ parameters }) => String(parameters[1]))
      writes.push(texts)
      const answer = answers.shift()
      if (answer instanceof Error) throw answer
      for (const text of texts) if (stored.has(text)) throw new WriteConflict('run_chunk_pkey')
      for (const text of texts) stored.set(text, text)
      if (answer) throw new StorageError('the connection broke')
      return batch.map(() => 1)
    }
    const database = { dialect: sqliteDialect, write } as unknown as Database
    const log = createReplyLog({ database, patienceMs })
    const lost: string[] = []
    const open = (runId: string) =>
      log.open({ organizationId: 'o', conversationId: 'c', runId, fence: 1, onLost: () => lost.push(runId) })
    return { open, lost, writes, stored }
  }
  const gone = () => new StorageError('gone')

  test('is waited for: nothing is shown meanwhile, and everything afterwards', async () => {
    const { open, lost, writes } = withAnswers([gone(), gone(), gone()])
    const run = open('r')
    run.append('a')
    await settled()
    run.append('b')
    expect(run.committed).toBe(0)
    await run.stored()
    expect([run.committed, lost]).toEqual([2, []])
    expect(writes).toEqual([['a'], ['a'], ['a'], ['a'], ['b']])
  })

  test('may have stored what it did not answer for: that stands there once', async () => {
    const { open, lost, stored } = withAnswers(['stored, and not heard'])
    const [one, two] = [open('1'), open('2')]
    one.append('a')
    two.append('b')
    await Promise.all([one.stored(), two.stored()])
    expect([one.committed, two.committed, lost]).toEqual([1, 1, []])
    expect([...stored.keys()]).toEqual(['a', 'b'])
  })

  test('ends the runs when it stays away for too long', async () => {
    const { open, lost } = withAnswers(Array.from({ length: 100 }, gone), 200)
    const run = open('r')
    run.append('a')
    await run.stored()
    expect([run.committed, lost]).toEqual([0, ['r']])
  })

  test('ends the runs when they have said more than is kept in memory', async () => {
    const { open, lost } = withAnswers([gone()], 3_600_000)
    const run = open('r')
    run.append('x'.repeat(16 * 1024 ** 2 + 1))
    await run.stored()
    expect([run.committed, lost]).toEqual([0, ['r']])
  })

  test('does not hold up a run that ends: its end takes everything', async () => {
    const { open, writes } = withAnswers([gone()])
    const [run, other] = [open('1'), open('2')]
    run.append('a')
    other.append('b')
    await settled()
    await run.settle()
    await other.stored()
    expect(writes).toEqual([['a', 'b'], ['b']])
    expect(run.committed).toBe(0)
  })

  test('ends only the run whose events it refuses', async () => {
    const { open, lost, writes } = withAnswers([new Error('refused'), new Error('refused')])
    const runs = ['1', '2', '3'].map(open)
    for (const [i, run] of runs.entries()) run.append(`${i}`)
    await Promise.all(runs.map((run) => run.stored()))
    expect(lost).toEqual(['1'])
    expect(runs.map(({ committed }) => committed)).toEqual([0, 1, 1])
    expect(writes).toHaveLength(4)
  })
})
