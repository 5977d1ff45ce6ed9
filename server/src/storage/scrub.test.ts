import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { expect, test } from 'vitest'
import { filesWith } from '../../../test/support/canaries.ts'
import { onEveryDatabase } from '../../../test/support/databases.ts'
import { openDatabase } from './open-database.ts'
import { vacuum } from './postgres/vacuum.ts'
import { type Parameters, prepareWrite } from './prepare.ts'

const OWNER = '01890000-0000-7000-8000-00000000000a'
const CANARY = 'canary-0815'

const insert = prepareWrite((db, p: Parameters<{ owner: string; conversation: string; id: string; content: string }>) =>
  db.insertInto('message').values({
    organization_id: p('owner'),
    conversation_id: p('conversation'),
    id: p('id'),
    role: 'user',
    content: p('content'),
    prompt_tokens: 0,
    completion_tokens: 0,
    created_at: 1,
  }),
)
const remove = prepareWrite((db, p: Parameters<{ id: string }>) => db.deleteFrom('message').where('id', '=', p('id')))

const SAMPLE = { owner: OWNER, conversation: randomUUID(), id: randomUUID(), content: CANARY }

onEveryDatabase('scrubbing', (kind) => {
  test('leaves nothing in the files of what was deleted, wherever the database had put it', async () => {
    const place = await kind.create()
    const database = await openDatabase(place.location, { asServer: true, log: () => {} })
    const conversations = Array.from({ length: 200 }, () => randomUUID())
    const ours: string[] = []
    for (let batch = 0; batch < 200; batch++) {
      const rows = Array.from({ length: 20 }, () => {
        // Between the rows that are there: so pages split, and what they held is moved.
        const at = Math.floor(Math.random() * conversations.length)
        const isOurs = at % 4 === 0
        const id = randomUUID()
        if (isOurs) ours.push(id)
        const content = `${isOurs ? CANARY : 'another'} `.repeat(1 + Math.floor(Math.random() * (at % 2 ? 60 : 300)))
        return insert(database, { owner: OWNER, conversation: conversations[at] as string, id, content })
      })
      await database.write(rows)
    }
    await database.write(ours.map((id) => remove(database, { id })))
    await database.scrub(['message'])
    expect((await filesWith(place, CANARY)) ?? []).toEqual([])
    expect((await filesWith(place, 'another')) ?? ['unreadable']).not.toEqual([])
    await database.close()
    await place.remove()
  })

  // A transaction in another database of the same PostgreSQL is enough to keep rows in the files of this one.
  if (kind.name === 'sqlite') return
  test('waits for older transactions, in whichever database, and not for ever', async () => {
    const [place, other] = await Promise.all([kind.create(), kind.create()])
    const logged: string[] = []
    const database = await openDatabase(place.location, { asServer: true, log: (line) => logged.push(line) })
    await database.write([insert(database, SAMPLE)])
    const elsewhere = new pg.Client({ connectionString: other.url })
    await elsewhere.connect()
    await elsewhere.query('begin')
    await elsewhere.query('select pg_current_xact_id()')
    await database.write([remove(database, { id: SAMPLE.id })])

    const client = new pg.Client({ connectionString: place.url })
    await client.connect()
    await vacuum(client, ['message'], (line) => logged.push(line), 50)
    expect(logged).toEqual([expect.stringContaining('a transaction that is older')])
    expect((await filesWith(place, CANARY)) ?? ['unreadable']).not.toEqual([])

    const scrubbed = database.scrub(['message'])
    await Promise.race([scrubbed, new Promise((resolve) => setTimeout(resolve, 200))])
    await elsewhere.query('commit')
    await scrubbed
    expect((await filesWith(place, CANARY)) ?? []).toEqual([])
    expect(logged.length).toBe(1)
    await Promise.all([client.end(), elsewhere.end(), database.close()])
    await Promise.all([place.remove(), other.remove()])
  })
})
