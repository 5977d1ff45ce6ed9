import { DatabaseSync } from 'node:sqlite'
import pg from 'pg'
import { expect, test } from 'vitest'
import type { SqlValue } from '../../server/src/storage/database.ts'
import { createMerger } from '../../server/src/storage/postgres/merge.ts'
import { type Json, type RunningApp, serve } from '../support/app.ts'
import { onEveryDatabase, type TestDatabase } from '../support/databases.ts'
import { chatChunk, chatReply, type ProviderServer, startProviderServer } from '../support/provider-server.ts'
import { type Traffic, tableOf, watchDatabase } from '../support/watch-database.ts'

type Query = { text: string; values: readonly SqlValue[] }
type Plan = { 'Node Type': string; 'Relation Name'?: string; 'Index Cond'?: string; Plans?: Plan[] }

/** Tables that grow with what is said, or with who says it: none of them may be read from end to end. */
const GROWING = [
  ...['message', 'conversation', 'run', 'run_chunk', 'running_turn', 'waiting_turn', 'api_key', 'token_budget'],
  ...[
    'waiting_call',
    'tool_decision',
    'secret',
    'idempotency_claim',
    'replaced_message',
    'persona',
    'feedback',
    'attachment',
    'conversation_summary',
  ],
]

onEveryDatabase('the queries of a turn', (kind) => {
  test('find their rows by a key', async () => {
    const provider = await startProviderServer()
    provider.always(chatReply(['One', ' two']))
    const place = await kind.create()
    const env = {
      OPENAI_COMPATIBLE_BASE_URL: `${provider.url}/v1`,
      DRAMATIS_LEASE_MS: '600000',
      DRAMATIS_TITLE_MODEL: 'openai-compatible:m',
    }
    const server = await serve(place, env)
    const traffic = await watchDatabase(server, () => everythingThatTurnsDo(server, provider))
    await server.close()
    await provider.close()

    const tables = ['conversation', 'message', 'run', 'running_turn', 'waiting_turn', 'token_budget']
    const written = new Set(traffic.batches.flat().map(tableOf))
    expect([...written]).toEqual(expect.arrayContaining([...tables, 'run_chunk', 'replaced_message']))
    const read = new Set(traffic.reads.map(tableOf))
    expect([...read]).toEqual(expect.arrayContaining(['api_key', 'conversation', 'message', 'run', 'running_turn']))

    const found = kind.name === 'sqlite' ? explainOnSqlite(place, traffic) : await explainOnPostgres(place, traffic)
    await place.remove()
    expect(found.queries).toBeGreaterThan(20)
    expect(found.wrong).toEqual([])
  })
})

/** A turn of each kind, with what is asked about it. */
async function everythingThatTurnsDo(server: RunningApp, provider: ProviderServer): Promise<void> {
  const model = { aiSystem: 'openai-compatible', model: 'm' }
  const key = await server.call('POST', '/api-keys', {
    name: 'k',
    scopes: ['conversations:write'],
    dailyTokens: 9_000_000,
  })
  const begun = await server.call('POST', '/conversations', { ...model, message: 'Hi' })
  const path = `/conversations/${begun.body['conversationId']}`
  const call = async (method: string, rest: string, body?: Json, headers: Record<string, string> = {}) => {
    const answer = await server.call<Json>(method, path + rest, body, headers)
    expect([answer.status, answer.text.slice(0, 200)]).toEqual([200, expect.anything()])
    return answer.body
  }
  const message = 'Hello'
  await call('PATCH', '/chat', { message })
  await call('POST', '/chat-sse', { message }, { 'idempotency-key': 'a' })
  await call('POST', '/chat-sse', { message }, { 'idempotency-key': 'a' })
  await call('PATCH', '/chat', { message }, { 'x-hl-api-key': String(key.body['key']) })
  // An attempt that was cut may have cost its prompt, so the next one needs more than was reserved.
  provider.script([chatReply([], { finishReason: null, ending: 'cut' })])
  await call('PATCH', '/chat', { message }, { 'x-hl-api-key': String(key.body['key']) })
  const poor = await server.call('POST', '/api-keys', {
    name: 'p',
    scopes: ['conversations:write'],
    dailyTokens: 4_500,
  })
  const refused = { 'x-hl-api-key': String(poor.body['key']) }
  await call('PATCH', '/chat', { message }, refused)
  provider.script([chatReply(['x'], { usage: { prompt_tokens: 4_500, completion_tokens: 1 } })])
  await call('PATCH', '/chat', { message }, refused)
  expect((await server.call('PATCH', `${path}/chat`, { message }, refused)).status).toBe(429)
  const tool = { type: 'client', name: 't', description: 'x', inputSchema: { type: 'object' } }
  const calls = [{ index: 0, id: 'c', type: 'function', function: { name: 't', arguments: '{}' } }]
  provider.script([
    {
      headers: { 'content-type': 'text/event-stream' },
      pieces: [
        chatChunk([{ index: 0, delta: { tool_calls: calls }, finish_reason: 'tool_calls' }]),
        'data: [DONE]\n\n',
      ],
    },
  ])
  const withTool = { ...model, message, configuration: { tools: [tool] } }
  await server.call('POST', '/conversations', withTool, { 'x-hl-api-key': String(key.body['key']) })
  const { runId } = await call('POST', '/regenerate')
  const { chatMessages } = (await call('GET', '')) as { chatMessages: { role: string; messageId: string }[] }
  const last = chatMessages.findLast(({ role }) => role === 'user')
  await call('PATCH', `/messages/${last?.messageId}`, { content: 'Rather this' })
  await call('GET', `/runs/${runId}/events`)

  const gate = Promise.withResolvers<void>()
  provider.script([{ ...chatReply(['late']), before: gate.promise }])
  const requests = provider.requests.length
  const first = call('PATCH', '/chat', { message })
  await expect.poll(() => provider.requests.length).toBe(requests + 1)
  expect((await server.call('PATCH', `${path}/chat`, { message })).status).toBe(409)
  const waiting = call('PATCH', '/chat?onBusy=wait', { message })
  await expect.poll(async () => ((await call('GET', '/runs')) as { data: Json[] }).data[0]?.['status']).toBe('accepted')
  gate.resolve()
  await Promise.all([first, waiting])

  const waits = { ...tool, type: 'http', requiresApproval: true, method: 'GET', url: 'http://127.0.0.1:9/' }
  provider.script([
    {
      headers: { 'content-type': 'text/event-stream' },
      pieces: [
        chatChunk([{ index: 0, delta: { tool_calls: calls }, finish_reason: 'tool_calls' }]),
        'data: [DONE]\n\n',
      ],
    },
  ])
  const asking = server.call('POST', '/conversations', { ...model, message, configuration: { tools: [waits] } })
  const approvals = async (query = '') =>
    (
      await server.call<{ data: { conversationId: string; runId: string; toolCallId: string }[] }>(
        'GET',
        `/approvals${query}`,
      )
    ).body.data
  await expect.poll(() => approvals()).toHaveLength(1)
  const [waitingCall] = await approvals('?pageSize=1')
  const decided = `/conversations/${waitingCall?.conversationId}/runs/${waitingCall?.runId}/reject`
  await server.call('POST', decided, { toolCallId: waitingCall?.toolCallId })
  await asking

  provider.script([chatReply(['broken'], { finishReason: null, ending: 'hang' })])
  const stream = await server.open('POST', `${path}/chat-sse`, { message })
  await call('POST', `/runs/${stream.headers.get('x-dramatis-run-id')}/cancel`)
  await stream.text()
}

/** The queries of which SQLite says that it looks at all rows of a table, or sorts what it has found. */
function explainOnSqlite({ location }: TestDatabase, traffic: Traffic): { queries: number; wrong: string[] } {
  const file = new DatabaseSync(location.kind === 'sqlite' ? location.file : '', { readOnly: true })
  const queries = distinct([
    ...traffic.batches.flat().map(({ sql, parameters }) => ({ text: sql, values: parameters })),
    ...readsOf(traffic),
  ])
  const wrong = queries.flatMap(({ text, values }) => {
    const steps = file.prepare(`explain query plan ${text}`).all(...values) as { detail: string }[]
    const bad = steps.filter(({ detail }) => /^SCAN (?!CONSTANT ROW)|TEMP B-TREE/.test(detail))
    return bad.map(({ detail }) => `${detail}: ${text}`)
  })
  file.close()
  return { queries: queries.length, wrong }
}

/** The same of PostgreSQL, as the statements of a batch are merged, on tables that are large enough for an index. */
async function explainOnPostgres(
  { location }: TestDatabase,
  traffic: Traffic,
): Promise<{ queries: number; wrong: string[] }> {
  const client = new pg.Client({ connectionString: location.kind === 'postgres' ? location.url : '' })
  await client.connect()
  await fill(client)
  const merge = createMerger()
  const queries = distinct([...traffic.batches.flatMap((batch) => merge(batch)), ...readsOf(traffic)])
  const wrong: string[] = []
  for (const { text, values } of queries) {
    const { rows } = await client.query(`explain (format json) ${text}`, [...values])
    const nodes = nodesOf(rows[0]['QUERY PLAN'][0].Plan)
    const bad = nodes.filter(
      (node) =>
        (node['Node Type'] === 'Seq Scan' && GROWING.includes(node['Relation Name'] ?? '')) ||
        (/Index/.test(node['Node Type']) && node['Index Cond'] === undefined),
    )
    wrong.push(...bad.map((node) => `${node['Node Type']} on ${node['Relation Name']}: ${text}`))
  }
  await client.end()
  return { queries: queries.length, wrong }
}

/** Puts rows of other conversations into the tables, all of one organization. */
async function fill(client: pg.Client): Promise<void> {
  const { rows } = await client.query(
    `select table_name as name, column_name as "column", data_type as type from information_schema.columns
      where table_schema = 'public' and table_name = any($1) and is_nullable = 'NO'`,
    [GROWING],
  )
  for (const table of GROWING) {
    const columns = (rows as { name: string; column: string; type: string }[]).filter(({ name }) => name === table)
    const values = columns.map(({ column, type }) => {
      if (column === 'organization_id') return '(select id from organization limit 1)'
      if (type === 'uuid') return 'gen_random_uuid()'
      return type === 'text' ? 'gen_random_uuid()::text' : 'n'
    })
    await client.query(
      `insert into ${table} (${columns.map(({ column }) => column).join()})
       select ${values.join()} from generate_series(1, 3000) n`,
    )
  }
  await client.query('analyze')
}

function nodesOf(plan: Plan): Plan[] {
  return [plan, ...(plan.Plans ?? []).flatMap(nodesOf)]
}

function readsOf({ reads }: Traffic): Query[] {
  return reads.map(({ sql, parameters }) => ({ text: sql, values: parameters as SqlValue[] }))
}

function distinct(queries: readonly Query[]): Query[] {
  return [...new Map(queries.map((query) => [query.text, query])).values()]
}
