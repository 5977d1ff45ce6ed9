import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { type Database, StorageError } from '../../server/src/storage/database.ts'
import { openPostgres } from '../../server/src/storage/postgres/postgres.ts'
import { createOwnPostgres } from '../faults/support/own-postgres.ts'
import { startPostgresProxy } from '../faults/support/postgres-proxy.ts'
import { createConversation, serve } from '../support/app.ts'
import { databaseKinds } from '../support/databases.ts'

const postgres = databaseKinds.find(({ name }) => name === 'postgres')

/** One URL with the hosts of several, in this order. */
function together(...urls: string[]): string {
  const [first = ''] = urls
  const hosts = urls.map((url) => new URL(url).host)
  return `${first.replace(new URL(first).host, hosts.join(','))}?target_session_attrs=read-write&sslmode=disable`
}

function addOrganization(database: Database, id: string): Promise<number[]> {
  const row = { id: `01890000-0000-7000-8000-${id.padStart(12, '0')}`, name: 'n', token_secret: 's', created_at: 1 }
  const { sql, parameters } = database.dialect.builder.insertInto('organization').values(row).compile()
  return database.write([{ sql, parameters: parameters as string[] }])
}

async function idsAt(url: string): Promise<string[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  const { rows } = await client.query('select id from organization order by id')
  await client.end()
  return rows.map(({ id }) => id.slice(-12).replace(/^0+/, ''))
}

describe.skipIf(!postgres)('several hosts of PostgreSQL', () => {
  test('are tried in order, at the start and in the middle of a reply', async () => {
    const place = await (postgres as NonNullable<typeof postgres>).create()
    const [first, second] = [await startPostgresProxy(place.url), await startPostgresProxy(place.url)]
    const server = await serve({
      ...place,
      url: together('postgres://127.0.0.1:9', first.url, second.url)
        .replace('postgres://', `postgres://dramatis:dramatis@`)
        .replace('?', `${new URL(place.url).pathname}?`),
    })
    const id = await createConversation(server, { text: 'word '.repeat(40), tokensPerSecond: 40 })
    const reply = server.call('PATCH', `/conversations/${id}/chat`, { message: 'Hello' })
    while ((await server.call('GET', `/conversations/${id}/runs`)).text.includes('"running"') === false) {
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    await first.close()
    expect(await reply).toMatchObject({ status: 200 })
    expect((await server.call('GET', `/conversations/${id}/runs`)).text).toContain('"completed"')
    await server.close()
    await second.close()
    await place.remove()
  })

  test('that cannot be written to are passed over, and left when they no longer can', async () => {
    const place = await (postgres as NonNullable<typeof postgres>).create()
    const other = await createOwnPostgres({
      prepare: (data) => appendFileSync(join(data, 'postgresql.conf'), 'default_transaction_read_only = on\n'),
    })
    const name = new URL(place.url).pathname.slice(1)
    const otherUrl = new URL(other.url)
    otherUrl.pathname = `/${name}`
    const admin = new pg.Client({ connectionString: other.url, options: '-c default_transaction_read_only=off' })
    await admin.connect()
    await admin.query(`create database ${name}`)
    const options = { url: together(otherUrl.href, place.url), log: () => {} }

    const alone = openPostgres({ url: otherUrl.href, log: () => {} })
    await expect(alone).rejects.toThrow(StorageError)
    await expect(alone).rejects.toThrow('cannot be written to')
    const passedOver = await openPostgres(options)
    await addOrganization(passedOver, '1')
    expect(await idsAt(place.url)).toEqual(['1'])
    await passedOver.close()

    await admin.query('alter system set default_transaction_read_only = off')
    await admin.query('select pg_reload_conf()')
    const opened = await openPostgres(options)
    await addOrganization(opened, '2')
    expect(await idsAt(otherUrl.href)).toEqual(['2'])
    await admin.query('alter system set default_transaction_read_only = on')
    await admin.query('select pg_reload_conf()')
    // The server's processes hear of it one by one: what comes too early is still written there.
    let last = '2'
    while ((await idsAt(place.url)).length === 1) {
      last = (Number.parseInt(last, 16) + 1).toString(16)
      await addOrganization(opened, last).catch((error: unknown) => expect(error).toBeInstanceOf(StorageError))
    }
    expect(await idsAt(place.url)).toEqual(['1', last])
    await opened.close()
    await admin.end()
    await other.remove()
    await place.remove()
  })

  test('that all fail are named with their reasons', async () => {
    const url = 'postgres://me:hidden@127.0.0.1:9,127.0.0.1:10/db'
    const opened = openPostgres({ url, log: () => {} })
    await expect(opened).rejects.toThrow(/127\.0\.0\.1:9; .*127\.0\.0\.1:10/)
    await expect(opened).rejects.not.toThrow('hidden')
  })
})
