import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import {
  createKey,
  createOrganization,
  createPersona,
  expectError,
  type Json,
  type RunningApp,
  serve,
} from '../support/app.ts'
import { onEveryDatabase, type TestDatabase } from '../support/databases.ts'
import { startToolServer, type ToolServer } from '../support/tool-server.ts'
import { startWithTools, watchWaits } from '../support/tools.ts'

type Waiting = {
  conversationId: string
  runId: string
  toolCallId: string
  name: string
  input: Json
  waitingSince: string
  expiresAt: string
  personaId: string | null
  externalUserId: string | null
}
type Page = { data: Waiting[]; continuationToken: string | null }

onEveryDatabase('the list of calls that wait for an approval', (kind) => {
  const env = { DRAMATIS_ALLOW_PRIVATE_HOSTS: '127.0.0.1', DRAMATIS_LEASE_MS: '500' }
  let place: TestDatabase
  let server: RunningApp
  let service: ToolServer
  beforeAll(async () => {
    service = await startToolServer()
    place = await kind.create()
    server = await serve(place, env)
  })
  afterAll(async () => {
    await server.close()
    await service.close()
    await place.remove()
  })
  beforeEach(async () => {
    expect((await list()).data).toEqual([])
  })

  const tool = (name: string): Json => ({
    type: 'http',
    name,
    description: 'Does it.',
    inputSchema: { type: 'object' },
    method: 'POST',
    url: `${service.url}/${name}`,
    requiresApproval: true,
  })
  const script = (...calls: { name: string; input?: Json }[]) => ({ rehearsal: { text: 'Done.', toolCalls: [calls] } })
  const list = async (query = '', headers: Record<string, string> = {}) => {
    const answer = await server.call<Page>('GET', `/approvals${query}`, undefined, headers)
    expect([answer.status, answer.text]).toEqual([200, expect.any(String)])
    return answer.body
  }

  /** Sends a message, and resolves when its run waits. */
  async function send(id: string, headers: Record<string, string> = {}) {
    const response = await server.open('POST', `/conversations/${id}/chat-sse`, { message: 'Go' }, headers)
    const waits = watchWaits(response)
    const toolCallIds = (await waits.next()) ?? []
    const runId = response.headers.get('x-dramatis-run-id') as string
    const decide = (what: string, toolCallId: string) =>
      server.call('POST', `/conversations/${id}/runs/${runId}/${what}`, { toolCallId }, headers)
    return {
      id,
      runId,
      toolCallIds,
      decide,
      cancel: () => server.call('POST', `/conversations/${id}/runs/${runId}/cancel`, {}, headers),
    }
  }
  const begin = async (...calls: { name: string; input?: Json }[]) =>
    send(await startWithTools(server, [...new Set(calls.map(({ name }) => name))].map(tool), script(...calls)))

  test('says what is to be decided, and where', async () => {
    const before = Date.now()
    const persona = await createPersona(server, {
      personaConfiguration: { tools: [tool('pay')], ...script({ name: 'pay', input: { amount: 3, to: 'Émile' } }) },
    })
    const started = await server.call('POST', '/conversations/persona', {
      personaId: persona['personaId'],
      externalUserId: 'someone',
    })
    const of = await send(String(started.body['conversationId']))
    const { data, continuationToken } = await list()
    expect(continuationToken).toBeNull()
    expect(data).toEqual([
      {
        conversationId: of.id,
        runId: of.runId,
        toolCallId: of.toolCallIds[0],
        name: 'pay',
        input: { amount: 3, to: 'Émile' },
        waitingSince: expect.any(String),
        expiresAt: expect.any(String),
        personaId: persona['personaId'],
        externalUserId: 'someone',
      },
    ])
    const [since, until] = [data[0]?.waitingSince, data[0]?.expiresAt].map((text) => Date.parse(String(text)))
    expect(since).toBeGreaterThanOrEqual(before)
    expect((until as number) - (since as number)).toBeLessThanOrEqual(3_600_000)
    expect((until as number) - (since as number)).toBeGreaterThan(3_500_000)
    expect((await of.decide('approve', data[0]?.toolCallId ?? '')).status).toBe(200)
    expect((await list()).data).toEqual([])
  })

  test('leaves out each call that is decided about, and all of a run that ends', async () => {
    const two = await begin({ name: 'pay' }, { name: 'ship' })
    const one = await begin({ name: 'look' })
    expect((await list()).data.map(({ name }) => name).sort()).toEqual(['look', 'pay', 'ship'])
    expect((await list()).data[0]).toMatchObject({ name: 'look', personaId: null, externalUserId: null, input: {} })
    const shipped = (await list()).data.find(({ name }) => name === 'ship')?.toolCallId ?? ''
    await two.decide('reject', shipped)
    expect((await list()).data.map(({ name }) => name)).toEqual(['look', 'pay'])
    await one.cancel()
    expect((await list()).data.map(({ name }) => name)).toEqual(['pay'])
    await server.call('DELETE', `/conversations/${two.id}`)
    expect((await list()).data).toEqual([])
    const left = await server.app.services.database.read({
      ...server.app.services.database.dialect.builder.selectFrom('waiting_call').selectAll().compile(),
    })
    expect(left).toEqual([])
  })

  test('comes in pages, newest first, and nothing of it to another organization', async () => {
    const other = await createOrganization(server)
    const them = { 'x-hl-api-key': other.key }
    const theirs = await server.call(
      'POST',
      '/conversations',
      {
        aiSystem: 'rehearsal',
        model: 'rehearsal',
        configuration: { tools: [tool('pay')], ...script({ name: 'pay' }) },
      },
      them,
    )
    const foreign = await send(String(theirs.body['conversationId']), them)
    const runs = []
    for (let i = 0; i < 6; i++) runs.push(await begin({ name: 'pay' }, { name: 'ship' }))
    expect((await list()).data).toHaveLength(10)
    const seen: Waiting[] = []
    let pages = 0
    for (let token: string | null = ''; token !== null; pages++) {
      const page: Page = await list(`?pageSize=5${token && `&continuationToken=${token}`}`)
      seen.push(...page.data)
      token = page.continuationToken
    }
    expect(pages).toBe(3)
    expect(seen.map(({ runId }) => runId)).toEqual(runs.toReversed().flatMap(({ runId }) => [runId, runId]))
    expect(new Set(seen.map(({ runId, toolCallId }) => `${runId} ${toolCallId}`)).size).toBe(12)
    expect((await list('', them)).data.map(({ runId }) => runId)).toEqual([foreign.runId])

    const token = (await list('?pageSize=5')).continuationToken
    expectError(await server.call('GET', `/approvals?continuationToken=${token}`, undefined, them), 'bad_request')
    expectError(await server.call('GET', '/approvals?pageSize=101'), 'bad_request')
    const writer = await createKey(server, ['conversations:write'])
    expectError(await server.call('GET', '/approvals', undefined, writer), 'forbidden')
    expect((await list('', await createKey(server, ['conversations:read']))).data).toHaveLength(10)
    for (const run of [...runs, foreign]) await run.cancel()
  })

  test('ends a page early whose inputs are large', async () => {
    const big = 'x'.repeat(800_000)
    const runs = []
    for (let i = 0; i < 7; i++) runs.push(await begin({ name: 'pay', input: { big } }))
    const page = await list()
    expect(page.data.map(({ input }) => String(input['big']).length)).toEqual(new Array(6).fill(big.length))
    const rest = await list(`?continuationToken=${page.continuationToken}`)
    expect(rest.data.map(({ runId }) => runId)).toEqual([runs[0]?.runId])
    for (const run of runs) await run.cancel()
  })

  test('is there when the server has stopped, and the calls wait on the next one', async () => {
    const run = await begin({ name: 'pay' })
    const [before] = (await list()).data
    await server.close()
    server = await serve(place, env)
    // Somebody has an hour again, because it is another server that waits.
    await expect
      .poll(async () => Date.parse((await list()).data[0]?.expiresAt ?? ''))
      .toBeGreaterThan(Date.parse(before?.expiresAt ?? ''))
    expect((await list()).data).toEqual([{ ...before, expiresAt: expect.any(String) }])
    expect((await run.decide('reject', run.toolCallIds[0] ?? '')).status).toBe(200)
    await expect
      .poll(async () => (await server.call('GET', `/conversations/${run.id}/runs/${run.runId}`)).body['status'])
      .toBe('completed')
    expect((await list()).data).toEqual([])
  })
})
