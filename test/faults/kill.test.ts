import { setTimeout as wait } from 'node:timers/promises'
import { expect, type TestContext, test } from 'vitest'
import { type DatabaseKind, databaseKinds, type TestDatabase } from '../support/databases.ts'
import { type ProviderServer, startProviderServer } from '../support/provider-server.ts'
import { act, createAndSend, type Stage } from './support/actions.ts'
import { audit, type Verdict } from './support/audit.ts'
import { type HeldTurns, holdTurns } from './support/held-turns.ts'
import { createLedger, type Ledger } from './support/ledger.ts'
import { chooseSeed, createRandom, type Random } from './support/random.ts'
import { answerWithChance, findUnacceptable, type Mood } from './support/replies.ts'
import { resendAll } from './support/resend.ts'
import { type FaultServer, kill, serverEnvironment, spawnServer, startFaultServer, stop } from './support/server.ts'
import { emptyTally, report, type Tally } from './support/tally.ts'
import { call } from './support/wire.ts'

/** Three servers at a time: while one starts, the others are talked to. */
const LANES = 3
const ROUNDS: Record<DatabaseKind['name'], number> = { sqlite: 50, postgres: 20 }
/** With this many minutes there are as many rounds as fit. */
const MINUTES = Number(process.env['DRAMATIS_TEST_FAULT_MINUTES'] ?? '0')
/** Conversations with turns in flight when the server is killed. */
const CROWD = 6
/** A conversation that has become longer than this is left in peace, so that rounds stay cheap. */
const LONG = 24

const NOTHING_HELD: HeldTurns = { ledgers: [], over: Promise.resolve() }

type Lane = {
  random: Random
  place: TestDatabase
  provider: ProviderServer
  mood: Mood
  env: Record<string, string>
  server: FaultServer
  /** Those that are still talked in. */
  talking: Ledger[]
  /** All that there ever were. */
  ledgers: Ledger[]
  kills: number
  restarted: number
  interrupted: number
  tally: Tally
}

for (const kind of databaseKinds) {
  const title = `nothing acknowledged is lost when the server is killed at any moment, on ${kind.name}`
  test(title, { timeout: MINUTES * 90_000 + 240_000 }, async (context) => {
    const seed = chooseSeed()
    const rounds = Math.ceil(ROUNDS[kind.name] / LANES)
    const runs = Array.from({ length: LANES }, (_, i) => runLane(kind, seed + i, rounds, context))
    // All come to their end, also when one fails: no server must be left behind.
    await Promise.allSettled(runs)
    const lanes = await Promise.all(runs)
    // Else the blows have missed, and all of this has shown nothing. The first of each lane cannot miss.
    const sum = (of: (lane: Lane) => number) => lanes.reduce((total, lane) => total + of(lane), 0)
    expect(
      sum(({ interrupted }) => interrupted),
      `seed ${seed}: interrupted runs`,
    ).toBeGreaterThan(0)
    expect(
      sum(({ restarted }) => restarted),
      `seed ${seed}: restarted runs`,
    ).toBeGreaterThan(0)
  })
}

async function runLane(kind: DatabaseKind, seed: number, rounds: number, context: TestContext): Promise<Lane> {
  const lane = await openLane(kind, seed)
  const deadline = Date.now() + MINUTES * 60_000
  try {
    for (let round = 0; round < rounds || Date.now() < deadline; round++) {
      if (MINUTES > 0 && round % 25 === 0) console.log(`${kind.name}: seed ${seed}, round ${round}`)
      await strike(lane)
      const verdicts = await Promise.all(lane.talking.map((ledger) => audit(lane.server.url, ledger)))
      expectNoProblems(lane, verdicts, `seed ${seed}, round ${round}`)
      const again = await Promise.all(lane.talking.map((ledger) => resendAll(lane.server.url, ledger)))
      expect(again.flat(), `seed ${seed}, round ${round}`).toEqual([])
      await takeNextTurns(lane)
    }
    // What an early round left must have outlived all later ones.
    const last: Verdict[] = []
    for (const ledger of lane.ledgers) last.push(await audit(lane.server.url, ledger))
    expectNoProblems(lane, last, `seed ${seed}, at the end`)
    for (const verdict of last) {
      add(lane.tally, verdict.tally)
      lane.restarted += verdict.restarted
      lane.interrupted += verdict.interrupted
    }
    expect(findUnacceptable(lane.provider), `seed ${seed}`).toEqual([])
    return lane
  } finally {
    report(context, `SIGKILL, ${kind.name}`, { ...lane.tally, faults: lane.kills })
    await kill(lane.server)
    await lane.provider.close()
    await lane.place.remove()
  }
}

async function openLane(kind: DatabaseKind, seed: number): Promise<Lane> {
  const random = createRandom(seed)
  const place = await kind.create()
  const provider = await startProviderServer()
  // The shortest lease there is: on PostgreSQL a dead server's turns are waited for that long.
  const env = serverEnvironment(place, provider.url, { DRAMATIS_LEASE_MS: '500' })
  // A first server that ends in peace leaves the compiled code behind for all that follow.
  await stop(await startFaultServer(env))
  const server = await startFaultServer(env)
  const lane: Lane = {
    random,
    place,
    provider,
    env,
    server,
    mood: 'varied',
    talking: [],
    ledgers: [],
    kills: 0,
    restarted: 0,
    interrupted: 0,
    tally: emptyTally(),
  }
  answerWithChance(provider, random, () => lane.mood)
  return lane
}

/** Talks in several conversations at once, kills the server in the middle of it, and starts another one. */
async function strike(lane: Lane): Promise<void> {
  const { random } = lane
  // How far a turn has come when a blow falls is left to chance, which a slow machine may decide always the same way.
  const held = lane.kills === 0 ? await holdTurns(lane.server.url, lane.provider) : NOTHING_HELD
  lane.mood = 'varied'
  let isStruck = false
  const stage: Stage = { url: lane.server.url, random, isStruck: () => isStruck }
  lane.talking = lane.talking.filter(({ said }) => said.length <= LONG && !random.chance(15))

  const talk = async (known: Ledger | undefined) => {
    const ledger = known ?? (await createAndSend(stage, (id) => enter(lane, id)))
    while (ledger && !isStruck) await act(stage, ledger)
  }
  const known = [...lane.talking]
  lane.ledgers.push(...held.ledgers)
  const talks = Array.from({ length: CROWD }, (_, i) => talk(known[i]))
  await wait(random.integer(20, 500))
  isStruck = true
  await kill(lane.server)
  lane.kills++
  await Promise.all([...talks, held.over])
  lane.talking.push(...held.ledgers)

  // Another blow while it recovers from the first, or when it has just begun again what had said nothing.
  if (random.chance(20)) {
    lane.mood = 'slow'
    const weak = random.chance(50) ? spawnServer(lane.env) : await startFaultServer(lane.env)
    await wait(random.integer(0, 600))
    await kill(weak)
    lane.kills++
  }
  lane.mood = 'quick'
  lane.server = await startFaultServer(lane.env)
}

function enter(lane: Lane, conversationId: string): Ledger {
  const ledger = createLedger(conversationId)
  lane.talking.push(ledger)
  lane.ledgers.push(ledger)
  return ledger
}

/** Whatever has happened to a conversation, it goes on. */
async function takeNextTurns(lane: Lane): Promise<void> {
  const answers = lane.talking.map(async (ledger) => {
    const said = ledger.say(`next-${ledger.said.length} of ${ledger.conversationId}`)
    const path = `/conversations/${ledger.conversationId}/chat`
    const answer = await call(lane.server.url, 'PATCH', path, { message: said.text })
    expect(answer.status, answer.text).toBe(200)
    ledger.acknowledge(said)
  })
  await Promise.all(answers)
}

function expectNoProblems(lane: Lane, verdicts: readonly Verdict[], where: string): void {
  const problems = verdicts.flatMap((verdict) => verdict.problems)
  // The table shall show what the test fails with.
  if (problems.length > 0) for (const { tally } of verdicts) add(lane.tally, tally)
  expect(problems, `${where} (DRAMATIS_TEST_SEED chooses it)`).toEqual([])
}

function add(total: Tally, more: Tally): void {
  for (const name of Object.keys(total) as (keyof Tally)[]) total[name] += more[name]
}
