import Fastify, { type FastifyInstance, type HTTPMethods } from 'fastify'
import { afterEach, expect, test } from 'vitest'
import { type DatabaseKind, onEveryDatabase } from '../../../../test/support/databases.ts'
import { AppError } from '../../errors.ts'
import { answerErrors } from '../../http/errors.ts'
import { systemClock } from '../../lib/clock.ts'
import { createIdSource } from '../../lib/ids.ts'
import { type Database, StorageError } from '../../storage/database.ts'
import { openDatabase } from '../../storage/open-database.ts'
import { withRiders } from '../../storage/riders.ts'
import { answerOnce } from './idempotency-hooks.ts'
import { createIdempotencyService } from './idempotency-service.ts'

const ids = createIdSource(systemClock)
const key = { 'idempotency-key': 'k' }
const organizationId = ids.next()

let cleanUp: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const each of cleanUp.reverse()) await each()
  cleanUp = []
})

/** A server of one organization; `write` stores something. */
async function setup(kind: DatabaseKind) {
  const place = await kind.create()
  const opened = await openDatabase(place.location, { asServer: true, log: () => {} })
  cleanUp.push(
    () => place.remove(),
    () => opened.close(),
  )
  let isBroken = false
  const { database, ride } = withRiders({
    ...opened,
    write: (batch) => (isBroken ? Promise.reject(new StorageError('gone')) : opened.write(batch)),
  })
  const app = Fastify()
  app.decorateRequest('caller', null as never)
  app.addHook('onRequest', async (request) => {
    request.caller = { organizationId, keyId: 'key', keyPrefix: 'k', scopes: new Set(), dailyTokens: null }
  })
  answerErrors(app)
  const idempotency = createIdempotencyService({ database, clock: systemClock })
  answerOnce(app, { idempotency, ride, showAgain: async (_organization, _conversation, body) => body })

  const builder = database.dialect.builder
  return {
    app,
    breakDatabase: (is: boolean) => {
      isBroken = is
    },
    async write(): Promise<void> {
      const row = { id: ids.next(), name: 'n', token_secret: 's', created_at: 0 }
      const { sql, parameters } = builder.insertInto('organization').values(row).compile()
      await database.write([{ sql, parameters: parameters as string[] }])
    },
    count: (table: 'organization' | 'idempotency_claim') => countOf(database, table),
  }
}

async function countOf(database: Database, table: 'organization' | 'idempotency_claim'): Promise<number> {
  return (await database.read(database.dialect.builder.selectFrom(table).selectAll().compile())).length
}

const ask = (app: FastifyInstance, method: HTTPMethods = 'POST') =>
  app.inject({ method: method as 'POST', url: '/thing', headers: key, payload: {} })

onEveryDatabase('a request with a key', (kind) => {
  test('whose handler fails after its effect gives the key back', async () => {
    const { app, write, count } = await setup(kind)
    let failures = 2
    app.post('/thing', async () => {
      await write()
      if (failures-- > 0) throw failures ? new AppError('unavailable', 'not now') : new Error('a fault')
      return { done: true }
    })
    expect((await ask(app)).statusCode).toBe(503)
    expect((await ask(app)).statusCode).toBe(500)
    expect(await count('idempotency_claim')).toBe(0)
    for (let i = 0; i < 3; i++) expect((await ask(app)).json()).toEqual({ done: true })
    expect(await count('organization')).toBe(3)
  })

  test('whose handler writes nothing is kept with its answer', async () => {
    const { app, count } = await setup(kind)
    let calls = 0
    app.post('/thing', async () => ({ calls: ++calls }))
    expect((await ask(app)).json()).toEqual({ calls: 1 })
    expect((await ask(app)).json()).toEqual({ calls: 1 })
    expect(await count('idempotency_claim')).toBe(1)
  })

  test('gets status and headers again, and an empty answer', async () => {
    const { app, write, count } = await setup(kind)
    app.put('/thing', async (_request, reply) => {
      await write()
      return reply.code(204).header('x-dramatis-note', 'a').header('x-other', 'b').send(null)
    })
    const [first, again] = [await ask(app, 'PUT'), await ask(app, 'PUT')]
    expect([first.statusCode, again.statusCode]).toEqual([204, 204])
    expect([first.body, again.body]).toEqual(['', ''])
    expect(again.headers).toMatchObject({ 'x-dramatis-note': 'a', 'x-dramatis-replayed': 'true' })
    expect(again.headers['x-other']).toBeUndefined()
    expect(await count('organization')).toBe(1)
  })

  test('is answered even if the answer cannot be kept', async () => {
    const { app, write, breakDatabase, count } = await setup(kind)
    app.post('/thing', async () => {
      await write()
      breakDatabase(true)
      return { done: true }
    })
    expect((await ask(app)).json()).toEqual({ done: true })
    breakDatabase(false)
    expect(await count('idempotency_claim')).toBe(1)
    expect(await count('organization')).toBe(1)
  })

  test('that fails before its effect leaves nothing behind', async () => {
    const { app, write, breakDatabase, count } = await setup(kind)
    app.post('/thing', async () => {
      await write()
      return { done: true }
    })
    breakDatabase(true)
    expect((await ask(app)).statusCode).toBe(503)
    breakDatabase(false)
    expect(await count('idempotency_claim')).toBe(0)
    expect((await ask(app)).statusCode).toBe(200)
    expect(await count('organization')).toBe(1)
  })

  test('is nothing special where nothing is changed', async () => {
    const { app, count } = await setup(kind)
    let calls = 0
    app.get('/thing', async () => ({ calls: ++calls }))
    app.delete('/thing', async () => ({ calls: ++calls }))
    for (const method of ['GET', 'DELETE'] as const) {
      await app.inject({ method, url: '/thing', headers: { 'idempotency-key': '' } })
    }
    expect(calls).toBe(2)
    expect(await count('idempotency_claim')).toBe(0)
    expect((await app.inject({ method: 'POST', url: '/nothing', headers: key })).statusCode).toBe(404)
  })
})
