import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { filesWith } from '../../../test/support/canaries.ts'
import { onEveryDatabase } from '../../../test/support/databases.ts'
import { openDatabase } from './open-database.ts'
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
})
