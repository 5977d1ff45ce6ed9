import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Statement } from '../../server/src/storage/database.ts'
import { openDatabase } from '../../server/src/storage/open-database.ts'
import { expectError, type Json, type RunningApp, startApp } from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'

const GENERAL = { aiSystem: 'rehearsal', model: 'rehearsal' }

onEveryDatabase('a user', (kind) => {
  let server: RunningApp
  beforeAll(async () => {
    server = await startApp(kind)
  })
  afterAll(() => server.close())

  const start = async (externalUserId: string) =>
    (await server.call('POST', '/conversations', { ...GENERAL, externalUserId, message: 'Hi' })).body[
      'conversationId'
    ] as string
  const list = async (query: string) => {
    const { status, body } = await server.call<{ data: Json[] }>('GET', `/conversations/user?${query}`)
    return [status, body.data?.map(({ conversationId }) => conversationId)]
  }

  /** What a server of an earlier version has stored. */
  async function rename(from: string, to: string): Promise<void> {
    const database = await openDatabase(server.place.location, { asServer: false, log: () => {} })
    const { builder } = database.dialect
    await database.write([
      builder
        .updateTable('conversation')
        .set({ external_user_id: to })
        .where('external_user_id', '=', from)
        .compile() as Statement,
    ])
    await database.close()
  }

  test.each(['.', '..'])('is not called %s from now on', async (externalUserId) => {
    const answer = await server.call('POST', '/conversations', { ...GENERAL, externalUserId })
    expect(expectError(answer, 'bad_request').details).toEqual([
      { field: 'externalUserId', issue: `cannot be ${externalUserId}` },
    ])
    const persona = (await server.call<{ data: Json[] }>('GET', '/personas?pageSize=1')).body.data[0]
    const body = { personaId: persona?.['personaId'], externalUserId }
    expectError(await server.call('POST', '/conversations/persona', body), 'bad_request')
  })

  test.each(['.', '..', 'a/b', '/', '//', 'a//b/', '%2F', '50%', '%', 'a?b=c&d', ' ', '+', '...', '..', 'ключ', 'x'])(
    'who is called %j is listed, exported and erased by a parameter',
    async (name) => {
      const before = name === '.' || name === '..' ? `was ${name}` : name
      const id = await start(before)
      const other = await start(`${before}x`)
      if (before !== name) await rename(before, name)
      const query = new URLSearchParams({ externalUserId: name }).toString()
      expect(await list(query)).toEqual([200, [id]])
      const exported = await server.open('GET', `/users/export?${query}`)
      expect(exported.status).toBe(200)
      const lines = (await exported.text()).trim().split('\n')
      expect(lines.map((line) => (JSON.parse(line) as Json)['conversationId'])).toEqual([id, id, id, id])
      expect((await server.call('DELETE', `/users?${query}`)).status).toBe(204)
      expectError(await server.call('GET', `/conversations/${id}`), 'not_found')
      expectError(await server.call('GET', `/users/export?${query}`), 'not_found')
      expect(await list(query)).toEqual([200, []])
      expect((await server.call('GET', `/conversations/${other}`)).status).toBe(200)
    },
  )

  test('has to be named', async () => {
    for (const [method, path] of [
      ['GET', '/conversations/user'],
      ['GET', '/users/export'],
      ['DELETE', '/users'],
      ['DELETE', '/users/'],
      ['DELETE', '/users?externalUserId='],
    ] as const) {
      const { details } = expectError(await server.call(method, path), 'bad_request')
      expect(details).toMatchObject([{ field: 'externalUserId' }])
    }
  })
})
