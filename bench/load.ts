import { connect } from 'node:net'
import { createConversations } from './load/conversations.ts'
import { drive, summarize, type Work } from './load/drive.ts'
import type { Job, Measured, Report, Request } from './load/jobs.ts'
import { createUser, type User } from './load/user.ts'
import { createPrinter, type Wire } from './wire/call.ts'

/**
 * The users of a benchmark, in a process of its own that is told by messages what to do, one job at a time. Its one
 * argument is the `Wire` of the server, as JSON.
 */

const wire = JSON.parse(process.argv[2] ?? 'null') as Wire
const conversations = createConversations(wire)
const users: User[] = []
const USERS_PER_KEY = 150
/** Fewer than what a user's connection may have waiting, and enough to keep any server busy. */
const MAKERS = 16
/** A warm-up tells how many conversations a measurement will use; it may be faster than that. */
const RESERVE = 1.5
/** Streams that are opened at the same time, so that it is not the crowd at the door that is measured. */
const OPENERS = 50
let streamsOpen = 0

const expected = { ending: wire.ending, marks: wire.marks }
const printTurn = createPrinter(wire.turn)
const printProbe = createPrinter({ ...wire.probe, headers: { ...wire.probe.headers, connection: 'close' } })

process.on('message', async ({ id, job }: Request) => {
  const report = (message: Partial<Report>) => process.send?.({ id, ...message })
  try {
    report({ result: await perform(job, () => report({ event: 'measuring' })) })
  } catch (error) {
    report({ error: error instanceof Error ? error.message : String(error) })
  }
})
// Whoever has started it is gone.
process.on('disconnect', () => process.exit(0))

function perform(job: Job, onMeasuring: () => void): Promise<Measured> {
  switch (job.kind) {
    case 'create':
      return warmAndMeasure(job, onMeasuring, create)
    case 'turns':
      return turns(job, onMeasuring)
    case 'history':
      return history(job, onMeasuring)
    case 'probe':
      return probe(job)
    case 'streams':
      return openStreams(job)
  }
}

function keyOf(index: number): string {
  const keys = wire.keys ?? ['']
  return keys[Math.floor(index / USERS_PER_KEY) % keys.length] as string
}

async function connected(count: number): Promise<User[]> {
  while (users.length < count) users.push(createUser(wire.port))
  const chosen = users.slice(0, count)
  await Promise.all(chosen.map((user) => user.connect()))
  return chosen
}

async function warmAndMeasure(
  { users: count, warmMs, ms }: { users: number; warmMs: number; ms: number },
  onMeasuring: () => void,
  work: Work,
): Promise<Measured> {
  await drive(await connected(count), warmMs, work)
  const ready = await connected(count)
  onMeasuring()
  return drive(ready, ms, work)
}

const create: Work = async (user, index) => {
  const startedAt = performance.now()
  await conversations.make(user, keyOf(index))
  return { firstMs: Number.NaN, totalMs: performance.now() - startedAt, body: '' }
}

const turn: Work = async (user, index) => {
  const key = keyOf(index)
  const conversation = await conversations.take(user, key)
  conversation.turnsLeft--
  const answer = await user.stream(printTurn(conversation.id, key), expected)
  // Not after a failure: its next turn would fail too.
  conversations.giveBack(conversation)
  return answer
}

async function turns(job: Extract<Job, { kind: 'turns' }>, onMeasuring: () => void): Promise<Measured> {
  await provide(job.users * 2)
  const warmed = await drive(await connected(job.users), job.warmMs, turn)
  await provide(warmed.perSecond * (job.ms / 1_000) * RESERVE + job.users * 2)
  const ready = await connected(job.users)
  onMeasuring()
  return drive(ready, job.ms, turn)
}

/** Sees to it that there are conversations for this many turns. */
async function provide(count: number): Promise<void> {
  const makers = await connected(MAKERS)
  await Promise.all(
    makers.map(async (user, index) => {
      while (conversations.turnsLeft() < count) await conversations.make(user, keyOf(index))
    }),
  )
}

async function history(job: Extract<Job, { kind: 'history' }>, onMeasuring: () => void): Promise<Measured> {
  const [user] = (await connected(1)) as [User]
  const print = createPrinter(job.call)
  const totals: number[] = []
  const firsts: number[] = []
  const failures: Error[] = []
  let startedAt = performance.now()
  for (const [i, id] of job.ids.entries()) {
    if (i === 1) {
      onMeasuring()
      startedAt = performance.now()
    }
    for (let n = 0; n < job.turns; n++) {
      try {
        const { firstMs, totalMs } = await user.stream(print(id, keyOf(0)), expected)
        if (i === 0) continue
        totals.push(totalMs)
        firsts.push(firstMs)
      } catch (error) {
        failures.push(error as Error)
      }
    }
  }
  return summarize({ totals, firsts, failures, seconds: (performance.now() - startedAt) / 1_000 })
}

async function probe({ everyMs, ms }: Extract<Job, { kind: 'probe' }>): Promise<Measured> {
  const request = printProbe('', keyOf(0))
  const totals: number[] = []
  const failures: Error[] = []
  const open: Promise<void>[] = []
  const startedAt = performance.now()
  const once = async () => {
    try {
      totals.push(await freshConnection(request))
    } catch (error) {
      failures.push(error as Error)
    }
  }
  // At fixed times, whether the last one was answered or not: otherwise a server that starves them is hardly asked.
  for (let n = 0; n * everyMs < ms; n++) {
    const waitMs = startedAt + n * everyMs - performance.now()
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs))
    open.push(once())
  }
  await Promise.all(open)
  return summarize({ totals, firsts: [], failures, seconds: (performance.now() - startedAt) / 1_000 })
}

/** Milliseconds from the first packet to the end of the answer. */
function freshConnection(request: string | Buffer): Promise<number> {
  return new Promise((resolve, reject) => {
    const startedAt = performance.now()
    let head = ''
    const socket = connect({ port: wire.port, host: '127.0.0.1', noDelay: true }, () => socket.write(request))
    socket.setEncoding('latin1').on('data', (text: unknown) => {
      head += text
    })
    socket.on('error', reject)
    socket.on('end', () => {
      if (/^HTTP\/1\.1 2\d\d /.test(head)) resolve(performance.now() - startedAt)
      else reject(new Error(`a fresh connection got: ${head.slice(0, 200)}`))
    })
  })
}

/** Starts streams beside those that are open, a few at a time. The count of the answer is how many are open at the end. */
async function openStreams({ count, marks }: Extract<Job, { kind: 'streams' }>): Promise<Measured> {
  const startedAt = performance.now()
  const failures: Error[] = []
  const opened: Promise<void>[] = []
  const openNext = async () => {
    while (users.length < count && failures.length === 0) {
      const user = createUser(wire.port)
      const stream = openStream(user, keyOf(users.push(user)), marks)
      opened.push(stream.farEnough.catch((error) => void failures.push(error)))
      await stream.begun
    }
  }
  await Promise.all(Array.from({ length: OPENERS }, openNext))
  await Promise.all(opened)
  const seconds = (performance.now() - startedAt) / 1_000
  return { ...summarize({ totals: [], firsts: [], failures, seconds }), count: streamsOpen }
}

/** `begun` with the first token or when it failed, `farEnough` with so many. */
function openStream(user: User, key: string, marks: number): { begun: Promise<void>; farEnough: Promise<void> } {
  const begun = Promise.withResolvers<void>()
  const farEnough = Promise.withResolvers<void>()
  const run = async () => {
    await user.connect()
    const conversation = await conversations.take(user, key)
    streamsOpen++
    try {
      await user.stream(printTurn(conversation.id, key), expected, (n) => {
        begun.resolve()
        if (n >= marks) farEnough.resolve()
      })
    } finally {
      streamsOpen--
    }
  }
  run().catch((error) => {
    begun.resolve()
    farEnough.reject(error)
  })
  return { begun: begun.promise, farEnough: farEnough.promise }
}
