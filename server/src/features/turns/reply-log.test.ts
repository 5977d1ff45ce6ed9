import { expect, test } from 'vitest'
import type { Database, Statement } from '../../storage/database.ts'
import { sqliteDialect } from '../../storage/sqlite.ts'
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
  const log = createReplyLog({ database: { dialect: sqliteDialect, write } as unknown as Database })
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
