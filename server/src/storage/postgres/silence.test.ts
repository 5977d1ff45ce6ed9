import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { describe, expect, test } from 'vitest'
import { databaseKinds } from '../../../../test/support/databases.ts'
import { type Database, StorageError } from '../database.ts'
import { openPostgres } from './postgres.ts'

const postgres = databaseKinds.find(({ name }) => name === 'postgres')

/** A line to a server that can go dead without breaking, as networks do. */
async function startLine(target: string) {
  const { hostname, port } = new URL(target)
  const sockets = new Set<Socket>()
  let isDead = false
  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname)
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from)
      from.on('error', () => {})
      from.on('close', () => to.destroy())
      from.on('data', (bytes) => void (isDead || to.write(bytes)))
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = new URL(target)
  url.port = String((server.address() as AddressInfo).port)
  return {
    url: url.href,
    setDead: (dead: boolean) => {
      isDead = dead
    },
    close: () => {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}

describe.skipIf(!postgres)('a PostgreSQL that says nothing any more', () => {
  test('counts as gone after a while, for reads and for writes, and is found again', async () => {
    const place = await (postgres as NonNullable<typeof postgres>).create()
    const line = await startLine(place.url)
    const database = await openPostgres({ url: line.url, log: () => {}, answerMs: 1_500 })
    const builder = database.dialect.builder
    const read = () => database.read(builder.selectFrom('organization').selectAll().compile())
    const write = (id: string) => writeOrganization(database, id)
    await write('01890000-0000-7000-8000-00000000000a')
    line.setDead(true)
    const outcomes = await Promise.allSettled([read(), write('01890000-0000-7000-8000-00000000000b'), read()])
    for (const outcome of outcomes) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: expect.any(StorageError) })
    }
    line.setDead(false)
    expect(await read()).toHaveLength(1)
    await write('01890000-0000-7000-8000-00000000000c')
    expect(await read()).toHaveLength(2)
    await database.close()
    line.close()
    await place.remove()
  })
})

function writeOrganization(database: Database, id: string): Promise<number[]> {
  const row = { id, name: 'n', token_secret: 's', created_at: 1 }
  const { sql, parameters } = database.dialect.builder.insertInto('organization').values(row).compile()
  return database.write([{ sql, parameters: parameters as string[] }])
}
