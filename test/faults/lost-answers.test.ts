import { setTimeout as wait } from 'node:timers/promises'
import { expect, inject, test } from 'vitest'
import { type DatabaseKind, databaseKinds } from '../support/databases.ts'
import { act, createAndSend, type Stage } from './support/actions.ts'
import { audit } from './support/audit.ts'
import { createLedger, type Ledger } from './support/ledger.ts'
import { startPostgresProxy } from './support/postgres-proxy.ts'
import { chooseSeed, createRandom } from './support/random.ts'
import { answerWithChance, findUnacceptable } from './support/replies.ts'
import { report } from './support/tally.ts'
import { expectNextTurn, openWorld } from './support/world.ts'

const postgres = databaseKinds.find(({ name }) => name === 'postgres')
const CROWD = 6
/** Answers of PostgreSQL that are lost. */
const CUTS = 30

test.skipIf(!postgres)(
  `the line to PostgreSQL breaks just when something is committed${postgres ? '' : ` (skipped: ${inject('postgresMissing').split('\n')[0]})`}`,
  async (context) => {
    const seed = chooseSeed()
    const random = createRandom(seed)
    const place = await (postgres as DatabaseKind).create()
    const proxy = await startPostgresProxy(place.url)
    const kind: DatabaseKind = { name: 'postgres', create: async () => ({ ...place, url: proxy.url }) }
    const world = await openWorld(kind, { DRAMATIS_LEASE_MS: '500' })
    try {
      answerWithChance(world.provider, random, () => 'varied')
      let isOver = false
      const ledgers: Ledger[] = []
      // The server is never told what became of some of its writes, so neither are its clients.
      const stage: Stage = { url: world.server.url, random, isStruck: () => true }
      const makeLedger = (id: string) => {
        const ledger = createLedger(id)
        ledgers.push(ledger)
        return ledger
      }
      const talks = Array.from({ length: CROWD }, async () => {
        while (!isOver) {
          const ledger = await createAndSend(stage, makeLedger)
          for (let i = 0; ledger && i < 12 && !isOver; i++) await act(stage, ledger)
        }
      })
      while (proxy.cuts < CUTS) {
        await wait(random.integer(20, 150))
        proxy.armForCommit()
      }
      isOver = true
      await Promise.all(talks)

      const verdicts = await Promise.all(ledgers.map((ledger) => audit(world.server.url, ledger, { isLocal: true })))
      const where = `seed ${seed} (DRAMATIS_TEST_SEED chooses it)`
      expect(
        verdicts.flatMap(({ problems }) => problems),
        where,
      ).toEqual([])
      for (const { conversationId } of ledgers) await expectNextTurn(world, conversationId)
      expect(findUnacceptable(world.provider), where).toEqual([])
      for (const { tally } of verdicts) report(context, 'answers of PostgreSQL lost', tally)
      report(context, 'answers of PostgreSQL lost', { faults: proxy.cuts })
    } finally {
      await world.close()
      await proxy.close()
    }
  },
)
