import { expect, test } from 'vitest'
import { createEraseService } from '../../server/src/features/privacy/erase-service.ts'
import { onEveryDatabase } from '../support/databases.ts'
import { chatReply, startProviderServer } from '../support/provider-server.ts'
import { startToolServer } from '../support/tool-server.ts'
import { startWithTwo } from '../support/two-organizations.ts'

const REHEARSAL = { aiSystem: 'rehearsal', model: 'rehearsal' }

onEveryDatabase('what is done behind turns and beside them', (kind) => {
  test('titles of one organization are made while those of another are held up', async () => {
    const provider = await startProviderServer()
    const gate = Promise.withResolvers<void>()
    provider.always(({ body }) => {
      const isLoud = JSON.stringify(body).includes('loud words')
      return isLoud ? { ...chatReply(['A title']), before: gate.promise } : chatReply(['A quiet title'])
    })
    const { server, loud, quiet, start } = await startWithTwo(kind, {
      ...{ OPENAI_COMPATIBLE_BASE_URL: `${provider.url}/v1`, DRAMATIS_TITLE_MODEL: 'openai-compatible:titles' },
    })
    for (let n = 0; n < 20; n++) await start(loud, { ...REHEARSAL, message: 'loud words' })
    const path = await start(quiet, { ...REHEARSAL, message: 'soft words' })
    const name = async () => (await server.call('GET', path, undefined, quiet)).body['conversationName']
    await expect.poll(name).toBe('A quiet title')
    expect(provider.requests.filter(({ body }) => JSON.stringify(body).includes('loud words'))).toHaveLength(8)
    gate.resolve()
    await server.close()
    await provider.close()
  })

  test('calls of tools of one organization go out while those of another hang', async () => {
    const service = await startToolServer()
    service.on('/hang', () => {})
    const { server, loud, quiet, start, send } = await startWithTwo(kind, { DRAMATIS_ALLOW_PRIVATE_HOSTS: '127.0.0.1' })
    const withCalls = (name: string, calls: number) => ({
      ...REHEARSAL,
      configuration: {
        tools: [
          {
            ...{ type: 'http', name, description: 'Does it.', inputSchema: { type: 'object' }, method: 'POST' },
            url: `${service.url}/${name}`,
          },
        ],
        rehearsal: { text: 'Done.', toolCalls: [Array.from({ length: calls }, () => ({ name }))] },
      },
    })
    const paths = await Promise.all(Array.from({ length: 10 }, () => start(loud, withCalls('hang', 16))))
    const hanging = paths.map((path) => send(loud, path))
    const hung = () => service.requests.filter(({ path }) => path === '/hang').length
    await expect.poll(hung).toBe(128)
    expect((await send(quiet, await start(quiet, withCalls('look', 2)))).status).toBe(200)
    expect(service.requests.filter(({ path }) => path === '/look')).toHaveLength(2)
    expect(hung()).toBe(128)
    for (const path of paths) {
      const { data } = (await server.call<{ data: { runId: string }[] }>('GET', `${path}/runs`, undefined, loud)).body
      await server.call('POST', `${path}/runs/${data[0]?.runId}/cancel`, undefined, loud)
    }
    await Promise.all(hanging)
    await server.close()
    await service.close()
  })

  test('long reads of one organization do not stand before those of another', async () => {
    const { server, organizations } = await startWithTwo(kind)
    const { database } = server.app.services
    const query = database.dialect.builder.selectFrom('organization').selectAll().compile()
    let theirs = 0
    const all = Array.from({ length: 400 }, () => database.scan(query, organizations.loud.id).then(() => theirs++))
    await database.scan(query, organizations.quiet.id)
    // In order of their coming it would have been the last.
    expect(theirs).toBeLessThan(350)
    await Promise.all(all)
    await server.close()
  })

  test('erasures in a loop hold up nobody’s turn, and as many as may are under way', async () => {
    const { server, loud, quiet, organizations, start, send } = await startWithTwo(kind)
    const path = await start(quiet, REHEARSAL)
    let isOver = false
    let erased = 0
    const erasing = Array.from({ length: 4 }, async () => {
      while (!isOver) {
        const victim = await start(loud, { ...REHEARSAL, systemMessage: 'x'.repeat(10_000) })
        const answer = server.call('DELETE', `${victim}?erase=true`, undefined, loud)
        // The last one may wait for its turn when the server closes.
        answer.then(({ status }) => {
          if (status === 204) erased++
        })
        await Promise.race([answer, new Promise((resolve) => setTimeout(resolve, 1_000))])
      }
    })
    await expect.poll(() => erased).toBeGreaterThan(2)
    for (let n = 0; n < 10; n++) expect((await send(quiet, path)).status).toBe(200)
    isOver = true
    await Promise.all(erasing)

    const gate = Promise.withResolvers<void>()
    const { services } = server.app
    const erasures = createEraseService({
      ...{ ...services, database: { ...services.database, scrub: () => gate.promise } },
      ...{ turns: { stopAll: async () => {} }, erasers: [] },
    })
    const ids = await Promise.all(Array.from({ length: 101 }, () => start(loud, REHEARSAL)))
    const idOf = (victim: string) => victim.slice('/conversations/'.length)
    const waiting = ids.slice(0, 100).map((victim) => erasures.eraseConversation(organizations.loud.id, idOf(victim)))
    await expect(erasures.eraseConversation(organizations.loud.id, idOf(ids[100] as string))).rejects.toMatchObject({
      ...{ code: 'rate_limited', refusedBy: 'erasures' },
    })
    const other = erasures.eraseConversation(organizations.quiet.id, idOf(path))
    gate.resolve()
    await Promise.all([...waiting, other])
    expect((await server.call('GET', path, undefined, quiet)).status).toBe(404)
    await server.close()
  })
})
