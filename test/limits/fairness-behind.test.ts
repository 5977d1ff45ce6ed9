import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { createEraseService } from '../../server/src/features/privacy/erase-service.ts'
import { SCOPES } from '../../server/src/http/requests/caller.ts'
import type { RunningApp } from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'
import { chatReply, startProviderServer } from '../support/provider-server.ts'
import { startToolServer } from '../support/tool-server.ts'
import { startWithTwo } from '../support/two-organizations.ts'

const REHEARSAL = { aiSystem: 'rehearsal', model: 'rehearsal' }

const STDIO = fileURLToPath(new URL('../support/mcp-stdio.ts', import.meta.url))

/** Another key of the same organization. */
async function mateOf(server: RunningApp, key: { 'x-hl-api-key': string }) {
  const answer = await server.call<{ key: string }>('POST', '/api-keys', { name: 'mate', scopes: SCOPES }, key)
  expect(answer.status).toBe(200)
  return { 'x-hl-api-key': answer.body.key }
}

onEveryDatabase('what is done behind turns and beside them', (kind) => {
  test('titles are made while those of another key or organization are held up', async () => {
    const provider = await startProviderServer()
    const gate = Promise.withResolvers<void>()
    provider.always(({ body }) => {
      const isLoud = JSON.stringify(body).includes('loud words')
      return isLoud ? { ...chatReply(['A title']), before: gate.promise } : chatReply(['A quiet title'])
    })
    const { server, loud, quiet, start } = await startWithTwo(kind, {
      OPENAI_COMPATIBLE_BASE_URL: `${provider.url}/v1`,
      DRAMATIS_TITLE_MODEL: 'openai-compatible:titles',
    })
    for (let n = 0; n < 20; n++) await start(loud, { ...REHEARSAL, message: 'loud words' })
    for (const key of [quiet, await mateOf(server, loud)]) {
      const path = await start(key, { ...REHEARSAL, message: 'soft words' })
      const name = async () => (await server.call('GET', path, undefined, key)).body['conversationName']
      await expect.poll(name, { timeout: 10_000 }).toBe('A quiet title')
    }
    expect(provider.requests.filter(({ body }) => JSON.stringify(body).includes('loud words'))).toHaveLength(6)
    gate.resolve()
    await server.close()
    await provider.close()
  })

  test('calls of tools go out while those of another key or organization hang', async () => {
    const service = await startToolServer()
    service.on('/hang', () => {})
    const { server, loud, quiet, start, send } = await startWithTwo(kind, { DRAMATIS_ALLOW_PRIVATE_HOSTS: '127.0.0.1' })
    const withCalls = (name: string, calls: number) => ({
      ...REHEARSAL,
      configuration: {
        tools: [
          {
            type: 'http',
            name,
            description: 'Does it.',
            inputSchema: { type: 'object' },
            method: 'POST',
            url: `${service.url}/${name}`,
          },
        ],
        rehearsal: { text: 'Done.', toolCalls: [Array.from({ length: calls }, () => ({ name }))] },
      },
    })
    const paths = await Promise.all(Array.from({ length: 10 }, () => start(loud, withCalls('hang', 16))))
    const hanging = paths.map((path) => send(loud, path))
    const hung = () => service.requests.filter(({ path }) => path === '/hang').length
    await expect.poll(hung, { timeout: 20_000 }).toBe(96)
    for (const key of [quiet, await mateOf(server, loud)]) {
      expect((await send(key, await start(key, withCalls('look', 2)))).status).toBe(200)
    }
    expect(service.requests.filter(({ path }) => path === '/look')).toHaveLength(4)
    expect(hung()).toBe(96)
    for (const path of paths) {
      const { data } = (await server.call<{ data: { runId: string }[] }>('GET', `${path}/runs`, undefined, loud)).body
      await server.call('POST', `${path}/runs/${data[0]?.runId}/cancel`, undefined, loud)
    }
    await Promise.all(hanging)
    await server.close()
    await service.close()
  })

  test('processes of MCP servers start while those of another key hang', async () => {
    const { server, loud, start, send } = await startWithTwo(kind, {
      DRAMATIS_MCP_COMMANDS: JSON.stringify({
        hang: { command: 'sleep', args: ['1000'] },
        quick: { command: process.execPath, args: [STDIO] },
      }),
      // Nine of them for one organization, and eight for one key.
      DRAMATIS_MCP_PROCESSES: '18',
    })
    const withServer = (preset: string) => ({
      ...REHEARSAL,
      configuration: { tools: [{ type: 'mcp', preset, timeoutMs: 30_000 }], rehearsal: { text: 'Done.' } },
    })
    const paths = await Promise.all(Array.from({ length: 12 }, () => start(loud, withServer('hang'))))
    let over = 0
    const hanging = paths.map((path) => send(loud, path).then(() => over++))
    const runsOf = async (path: string) =>
      (await server.call<{ data: { runId: string }[] }>('GET', `${path}/runs`, undefined, loud)).body.data
    for (const path of paths) await expect.poll(() => runsOf(path)).toHaveLength(1)
    const mate = await mateOf(server, loud)
    expect((await send(mate, await start(mate, withServer('quick')))).status).toBe(200)
    expect(over).toBe(0)
    for (const path of paths) {
      for (const { runId } of await runsOf(path)) {
        await server.call('POST', `${path}/runs/${runId}/cancel`, undefined, loud)
      }
    }
    await Promise.all(hanging)
    await server.close()
  }, 60_000)

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
      ...services,
      database: { ...services.database, scrub: () => gate.promise },
      turns: { stopAll: async () => {} },
      erasers: [],
    })
    const ids = await Promise.all(Array.from({ length: 101 }, () => start(loud, REHEARSAL)))
    const idOf = (victim: string) => victim.slice('/conversations/'.length)
    const waiting = ids.slice(0, 100).map((victim) => erasures.eraseConversation(organizations.loud.id, idOf(victim)))
    await expect(erasures.eraseConversation(organizations.loud.id, idOf(ids[100] as string))).rejects.toMatchObject({
      code: 'rate_limited',
      refusedBy: 'erasures',
    })
    const other = erasures.eraseConversation(organizations.quiet.id, idOf(path))
    gate.resolve()
    await Promise.all([...waiting, other])
    expect((await server.call('GET', path, undefined, quiet)).status).toBe(404)
    await server.close()
  })
})
