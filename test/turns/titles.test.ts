import { afterAll, beforeAll, expect, test } from 'vitest'
import type { RunningApp } from '../support/app.ts'
import { startAppWithProvider } from '../support/app-with-provider.ts'
import { onEveryDatabase } from '../support/databases.ts'
import { chatReply, type ProviderServer } from '../support/provider-server.ts'

type Conversation = { conversationId: string; conversationName: string | null; totalTokens: number }
type Run = { kind: string; status: string; model: string; usage: { total_tokens: number } }

const MESSAGE = 'My kettle leaks at the handle. What can I do about it before the guests come?'
const EXTRACT = 'My kettle leaks at the handle'

onEveryDatabase('titles', (kind) => {
  let server: RunningApp
  let provider: ProviderServer
  beforeAll(async () => {
    ;({ server, provider } = await startAppWithProvider(kind, {
      DRAMATIS_TITLE_MODEL: 'openai-compatible:small:1b',
    }))
  })
  afterAll(() => server.close())

  const isTitleRequest = ({ body }: { body: unknown }) => (body as { model: string }).model === 'small:1b'
  const titleRequests = () => provider.requests.filter(isTitleRequest)
  const start = async () =>
    (await server.call<Conversation>('POST', '/conversations', { aiSystem: 'openai-compatible', model: 'm' })).body
      .conversationId
  const send = async (id: string, message = MESSAGE) =>
    expect((await server.call('PATCH', `/conversations/${id}/chat`, { message })).status).toBe(200)
  const read = async (id: string) => (await server.call<Conversation>('GET', `/conversations/${id}`)).body
  const nameOf = async (id: string) => (await read(id)).conversationName
  const runs = async (id: string) => (await server.call<{ data: Run[] }>('GET', `/conversations/${id}/runs`)).body.data
  const untilTitled = (id: string, status: string) =>
    expect
      .poll(async () => (await runs(id)).find(({ kind }) => kind === 'title')?.status, { interval: 20 })
      .toBe(status)
  const tokensInMetrics = async () => {
    const lines = (await server.call('GET', '/metrics')).text.split('\n')
    const counts = lines.filter((line) => line.startsWith('dramatis_tokens_total{'))
    return counts.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
  }
  const behave = (title: string | number, before: Promise<unknown> = Promise.resolve()) =>
    provider.always((request) => {
      if (!isTitleRequest(request)) return chatReply(['Tighten', ' the screw.'])
      return typeof title === 'number' ? { status: title, before } : { ...chatReply([title]), before }
    })

  test('a model names the conversation from its first exchange, and never delays the reply', async () => {
    const { promise: released, resolve: release } = Promise.withResolvers<void>()
    behave('"Leaking kettle."\n', released)
    const id = await start()
    await send(id)
    expect(await nameOf(id)).toBe(EXTRACT)
    release()
    await untilTitled(id, 'completed')
    expect(await nameOf(id)).toBe('Leaking kettle')
    const asked = titleRequests().at(-1)?.body as { messages: { content: string }[] }
    expect(asked.messages.at(-1)?.content).toBe(`User: ${MESSAGE}\n\nAssistant: Tighten the screw.\n\nTitle:`)
  })

  test.each(['<think>A kettle.</think>\n\nLeaking kettle', 'A kettle.\n</think>\n\nLeaking kettle'])(
    'what it thinks before is no part of the name: %j',
    async (title) => {
      behave(title)
      const id = await start()
      await send(id)
      await untilTitled(id, 'completed')
      expect(await nameOf(id)).toBe('Leaking kettle')
    },
  )

  test('it is asked once, and what it cost is in the totals', async () => {
    behave('Leaking kettle')
    const id = await start()
    const from = titleRequests().length
    const before = await tokensInMetrics()
    await send(id)
    await untilTitled(id, 'completed')
    await send(id, 'Thank you')
    await send(id, 'Bye')
    expect(titleRequests()).toHaveLength(from + 1)
    const all = await runs(id)
    expect(all.map((run) => run.kind)).toEqual(['send', 'send', 'title', 'send'])
    expect(all[2]).toMatchObject({ model: 'small:1b', usage: { total_tokens: 8 } })
    const total = all.reduce((sum, run) => sum + run.usage.total_tokens, 0)
    expect((await read(id)).totalTokens).toBe(total)
    expect((await tokensInMetrics()) - before).toBe(total)
  })

  test('it counts against the daily budget of the key that sent the message, and can be looked at like any run', async () => {
    behave('Leaking kettle')
    const made = await server.call('POST', '/api-keys', {
      name: 'with a budget',
      scopes: ['conversations:read', 'conversations:write'],
      dailyTokens: 100_000,
    })
    const headers = { 'x-hl-api-key': made.body['key'] as string }
    const body = { aiSystem: 'openai-compatible', model: 'm', message: MESSAGE }
    const { conversationId: id } = (await server.call<Conversation>('POST', '/conversations', body, headers)).body
    await untilTitled(id, 'completed')
    const { database } = server.app.services
    const budgets = database.dialect.builder.selectFrom('token_budget').select(['reserved', 'used'])
    const rows = await database.read(budgets.where('api_key_id', '=', made.body['id'] as string).compile())
    expect(rows).toEqual([{ reserved: 0, used: (await read(id)).totalTokens }])
    const [title] = (await server.call<{ data: { runId: string }[] }>('GET', `/conversations/${id}/runs`)).body.data
    const events = await server.call('GET', `/conversations/${id}/runs/${title?.runId}/events`)
    expect([events.status, events.text.endsWith('data: [DONE]\n\n')]).toEqual([200, true])
    const receipt = await server.call('POST', `/conversations/${id}/runs/${title?.runId}/cancel`)
    expect(receipt.body).toMatchObject({ status: 'completed', textLength: 0 })
  })

  test('a name that a user has set is never overwritten', async () => {
    const { promise: released, resolve: release } = Promise.withResolvers<void>()
    behave('Leaking kettle', released)
    const before = await start()
    const named = (id: string, conversationName: string) =>
      server.call('PATCH', `/conversations/${id}/set-conversation-name`, { conversationName })
    await named(before, 'Mine')
    const from = titleRequests().length
    await send(before)
    const during = await start()
    await send(during)
    await named(during, 'Mine too')
    release()
    await untilTitled(during, 'completed')
    expect(await nameOf(during)).toBe('Mine too')
    expect(await nameOf(before)).toBe('Mine')
    expect(titleRequests()).toHaveLength(from + 1)
  })

  test.each([
    ['an error', 400, 'failed'],
    ['nothing to read', '  ""  ', 'completed'],
  ] as const)('the extract stays after %s', async (_, title, status) => {
    behave(title)
    const id = await start()
    await send(id)
    await untilTitled(id, status)
    expect(await nameOf(id)).toBe(EXTRACT)
  })

  test('a title is one short line', async () => {
    behave(`# Title: "${'Kettles and '.repeat(40)}"\n\nAnything else?`)
    const id = await start()
    await send(id)
    await untilTitled(id, 'completed')
    const name = (await nameOf(id)) ?? ''
    expect(name).toMatch(/^Kettles and Kettles and [^\n"#]*…$/)
    expect(name.length).toBeLessThanOrEqual(61)
  })

  test('a conversation that is deleted meanwhile is left alone', async () => {
    const { promise: released, resolve: release } = Promise.withResolvers<void>()
    behave('Leaking kettle', released)
    const id = await start()
    await send(id)
    await server.call('DELETE', `/conversations/${id}`)
    release()
    behave('Leaking kettle')
    const other = await start()
    await send(other)
    await untilTitled(other, 'completed')
    expect((await server.call('GET', `/conversations/${id}`)).status).toBe(410)
    expect(server.logged.filter(({ level }) => Number(level) >= 50)).toEqual([])
  })
})
