import { afterAll, beforeAll, expect, test } from 'vitest'
import { expectError, type Json, type RunningApp, serve, startApp } from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'
import { startServer } from '../support/process.ts'
import { chatReply, type ProviderServer, startProviderServer } from '../support/provider-server.ts'

type Sent = { role: string; content: string }
type Run = { runId: string; kind: string; status: string; usage: { total_tokens: number }; context: Json | null }
type Conversation = { conversationId: string; totalTokens: number; chatMessages: { role: string; messageId: string }[] }

/** About 110 tokens by our estimate. */
const LONG = (n: number) => `Message ${n}. ${'lorem ipsum dolor '.repeat(28)}`
const SUMMARY = 'Ada has a cat named Io.'
const NOTES = 'Notes on the older part of this conversation'

onEveryDatabase('context', (kind) => {
  let server: RunningApp
  let provider: ProviderServer
  let env: Record<string, string>
  beforeAll(async () => {
    provider = await startProviderServer()
    env = { OPENAI_COMPATIBLE_BASE_URL: `${provider.url}/v1` }
    server = await startApp(kind, env)
  })
  afterAll(async () => {
    await server.close()
    await provider.close()
  })

  const start = async (configuration: Json = {}) => {
    const answer = await server.call<Conversation>('POST', '/conversations', {
      aiSystem: 'openai-compatible',
      model: 'm',
      systemMessage: 'Be kind.',
      configuration: { contextWindow: 2_048, maxTokens: 500, ...configuration },
    })
    expect(answer.status).toBe(200)
    return answer.body.conversationId
  }
  const send = async (id: string, message: string) => {
    const answer = await server.call<{ runId: string; messageId: string }>('PATCH', `/conversations/${id}/chat`, {
      message,
    })
    expect(answer.status, answer.text).toBe(200)
    return answer.body
  }
  const sentTo = (request: { body: unknown } | undefined) =>
    (request?.body as { messages: Sent[] } | undefined)?.messages ?? []
  const isSummaryRequest = (request: { body: unknown }) =>
    sentTo(request)[0]?.content.startsWith('You keep the notes') ?? false
  const lastSent = () => sentTo(provider.requests.findLast((request) => !isSummaryRequest(request)))
  const summaryRequests = () => provider.requests.filter(isSummaryRequest)
  const runs = async (id: string) =>
    (await server.call<{ data: Run[] }>('GET', `/conversations/${id}/runs?pageSize=100`)).body.data
  const runOf = async (id: string, runId: string) =>
    (await server.call<Run>('GET', `/conversations/${id}/runs/${runId}`)).body
  const read = async (id: string) => (await server.call<Conversation>('GET', `/conversations/${id}`)).body
  const summaries = async (id: string) => (await runs(id)).filter((run) => run.kind === 'summary')
  const untilSummaries = (id: string, count: number) =>
    expect.poll(async () => (await summaries(id)).length, { interval: 20 }).toBeGreaterThanOrEqual(count)
  const expectTotals = async (id: string) => {
    const sum = (await runs(id)).reduce((total, run) => total + run.usage.total_tokens, 0)
    expect((await read(id)).totalTokens).toBe(sum)
  }
  /** Summaries are `SUMMARY`, everything else `Reply`. */
  const behave = (summary: string | number = SUMMARY) =>
    provider.always((request) => {
      if (!isSummaryRequest(request)) return chatReply(['Reply'])
      return typeof summary === 'number' ? { status: summary } : chatReply([summary])
    })

  test('a short talk is sent as a whole, and the run says so', async () => {
    behave()
    const id = await start()
    const first = await send(id, 'Hello')
    await send(id, 'And?')
    expect(lastSent()).toEqual([
      { role: 'system', content: 'Be kind.' },
      { role: 'user', content: 'Hello' },
      { role: 'assistant', content: 'Reply' },
      { role: 'user', content: 'And?' },
    ])
    const [, user] = (await read(id)).chatMessages
    expect((await runOf(id, first.runId)).context).toEqual({
      policy: 'truncate',
      window: 2_048,
      firstMessageId: user?.messageId,
      messages: 1,
      systemTokens: expect.any(Number),
      historyTokens: expect.any(Number),
      summaryVersion: null,
    })
  })

  test('what does not fit is left out by whole exchanges, the system text stays, and nobody is asked for a summary', async () => {
    behave()
    const before = summaryRequests().length
    const id = await start()
    for (let n = 1; n <= 14; n++) await send(id, LONG(n))
    const [system, ...talk] = lastSent()
    expect(system).toEqual({ role: 'system', content: 'Be kind.' })
    expect(talk[0]?.role).toBe('user')
    expect(talk.at(-1)).toEqual({ role: 'user', content: LONG(14) })
    expect(talk.length).toBeGreaterThan(10)
    expect(talk.length).toBeLessThan(27)
    const [run] = await runs(id)
    const messages = (await read(id)).chatMessages.filter(({ role }) => role !== 'system')
    expect(run?.context).toMatchObject({
      messages: talk.length,
      firstMessageId: messages.at(-1 - talk.length)?.messageId,
      summaryVersion: null,
    })
    const { systemTokens, historyTokens } = (run as Run).context as { systemTokens: number; historyTokens: number }
    expect(systemTokens + historyTokens + 500).toBeLessThanOrEqual(2_048)
    expect(summaryRequests()).toHaveLength(before)
    expect(await summaries(id)).toEqual([])
  })

  test('a summary stands for the older part, is made once, and then extended', async () => {
    behave()
    const id = await start({ contextPolicy: 'summarize' })
    let n = 0
    const talkUntilSummary = async (count: number) => {
      while ((await summaries(id)).length < count && n < 60) {
        await send(id, LONG(++n))
        const { status, context } = (await runs(id)).find((run) => run.kind === 'send') as Run
        expect(status).toBe('completed')
        const { historyTokens, systemTokens } = context as { historyTokens: number; systemTokens: number }
        // The reply is one token; of the room beside it, this part calls for a summary.
        if (historyTokens + 1 >= 0.7 * (2_048 - 500 - systemTokens)) await untilSummaries(id, count)
      }
    }
    const from = summaryRequests().length
    await talkUntilSummary(1)
    const [asked] = summaryRequests().slice(from)
    expect(sentTo(asked)[1]?.content).toContain(`What was said:\nUser: ${LONG(1).trim()}`)
    expect(sentTo(asked)[1]?.content).not.toContain(LONG(n).trim())
    const summarizedAfter = n
    const sent = await send(id, 'Go on')
    const [system, ...talk] = lastSent()
    expect(system?.content).toBe(`Be kind.\n\n${system?.content.slice('Be kind.\n\n'.length)}`)
    expect(system?.content).toContain(NOTES)
    expect(system?.content.endsWith(SUMMARY)).toBe(true)
    // Neither lost nor said twice: the first message that is shown is the one behind the last that was summarized.
    const firstShown = Number(/Message (\d+)/.exec(talk[0]?.content ?? '')?.[1])
    expect(talk[0]?.role).toBe('user')
    expect(firstShown).toBeGreaterThan(1)
    expect(sentTo(asked)[1]?.content).toContain(LONG(firstShown - 1).trim())
    expect(sentTo(asked)[1]?.content).not.toContain(LONG(firstShown).trim())
    expect((await runOf(id, sent.runId)).context).toMatchObject({ policy: 'summarize', summaryVersion: 1 })
    expect(summaryRequests()).toHaveLength(from + 1)
    await talkUntilSummary(2)
    expect(n - summarizedAfter).toBeGreaterThan(1)
    const second = sentTo(summaryRequests().at(-1))[1]?.content ?? ''
    expect(second).toContain(`The summary so far:\n${SUMMARY}`)
    expect(second).toContain(`What was said since:\nUser: ${LONG(firstShown).trim()}`)
    const last = await send(id, 'Go on')
    expect((await runOf(id, last.runId)).context).toMatchObject({ summaryVersion: 2 })
    await expectTotals(id)
  })

  test('another model writes the summary where one is named, and never in the way of a reply', async () => {
    const { promise: released, resolve: release } = Promise.withResolvers<void>()
    provider.always((request) =>
      isSummaryRequest(request) ? { ...chatReply([SUMMARY]), before: released } : chatReply(['Reply']),
    )
    const summaryModel = { aiSystem: 'openai-compatible', model: 'small' }
    const id = await start({ contextPolicy: 'summarize', summaryModel })
    const from = summaryRequests().length
    for (let n = 1; n <= 12; n++) await send(id, LONG(n))
    await expect.poll(() => summaryRequests().length).toBe(from + 1)
    expect(summaryRequests().at(-1)?.body).toMatchObject({ model: 'small' })
    // It is still being made, one at a time: turns go on, and see what fits.
    for (let n = 13; n <= 16; n++) await send(id, LONG(n))
    expect(lastSent()[0]).toEqual({ role: 'system', content: 'Be kind.' })
    expect(summaryRequests()).toHaveLength(from + 1)
    release()
    await untilSummaries(id, 1)
    behave()
    await send(id, 'Go on')
    expect(lastSent()[0]?.content).toContain(SUMMARY)
  })

  test('without a summary the model sees what fits', async () => {
    behave(400)
    const id = await start({ contextPolicy: 'summarize' })
    for (let n = 1; n <= 12; n++) await send(id, LONG(n))
    await expect.poll(async () => (await summaries(id)).length).toBeGreaterThan(0)
    expect((await summaries(id))[0]).toMatchObject({ status: 'failed', usage: { total_tokens: 0 } })
    const answer = await send(id, 'Go on')
    expect(lastSent()[0]).toEqual({ role: 'system', content: 'Be kind.' })
    expect((await runOf(id, answer.runId)).context).toMatchObject({ policy: 'summarize', summaryVersion: null })
    await expectTotals(id)
  })

  test('what is edited and regenerated was never summarized, and the summary stays', async () => {
    behave()
    const id = await start({ contextPolicy: 'summarize' })
    for (let n = 1; n <= 10; n++) await send(id, LONG(n))
    await untilSummaries(id, 1)
    const last = (await read(id)).chatMessages.findLast(({ role }) => role === 'user')
    const edited = await server.call('PATCH', `/conversations/${id}/messages/${last?.messageId}`, { content: 'Short' })
    expect(edited.status, edited.text).toBe(200)
    expect(lastSent()[0]?.content).toContain(SUMMARY)
    expect(lastSent().at(-1)).toEqual({ role: 'user', content: 'Short' })
    expect(lastSent().some(({ content }) => content === LONG(10))).toBe(false)
    const again = await server.call('POST', `/conversations/${id}/regenerate`)
    expect(again.status).toBe(200)
    expect(lastSent()[0]?.content).toContain(SUMMARY)
  })

  /** Puts the first version of a summary into the database, up to this message: a claim until `expiresAt`, or a text. */
  async function insertSummary(id: string, messageId: string, runId: string, made: number | string) {
    const { database, organizations } = server.app.services
    const { id: organizationId } = (await organizations.first()) as { id: string }
    const [text, expiresAt] = typeof made === 'string' ? [`'${made}'`, 'null'] : ['null', made]
    const sql = `insert into conversation_summary
        (organization_id, conversation_id, version, up_to_message_id, text, tokens, run_id, expires_at, created_at)
      values ('${organizationId}', '${id}', 1, '${messageId}', ${text}, 5, '${runId}', ${expiresAt}, 0)`
    await database.write([{ sql, parameters: [] }])
  }

  test('an edit that takes summarized messages away takes the summary away', async () => {
    behave()
    const id = await start({ contextPolicy: 'summarize' })
    const { runId, messageId } = await send(id, 'My name is Eve.')
    await insertSummary(id, messageId, runId, 'Her name is Eve.')
    await send(id, 'Hello')
    expect(lastSent()[0]?.content).toContain('Her name is Eve.')
    const last = (await read(id)).chatMessages.findLast(({ role }) => role === 'user') as { messageId: string }
    const edit = (of: string, content: string) =>
      server.call('PATCH', `/conversations/${id}/messages/${of}`, { content })
    await edit(last.messageId, 'Hi')
    expect(lastSent()[0]?.content).toContain('Her name is Eve.')
    const { database } = server.app.services
    const update = `update conversation_summary set up_to_message_id = '${(await read(id)).chatMessages.at(-1)?.messageId}'`
    await database.write([{ sql: `${update} where conversation_id = '${id}'`, parameters: [] }])
    const edited = (await read(id)).chatMessages.findLast(({ role }) => role === 'user') as { messageId: string }
    await edit(edited.messageId, 'Hey')
    expect(lastSent().map(({ content }) => content)).toEqual(['Be kind.', 'My name is Eve.', 'Reply', 'Hey'])
  })

  test('a claim that nobody finishes runs out, and does not keep the next one away', async () => {
    behave()
    const id = await start({ contextPolicy: 'summarize' })
    const { runId, messageId } = await send(id, LONG(1))
    const from = summaryRequests().length
    await insertSummary(id, messageId, runId, Date.now() + 600_000)
    for (let n = 2; n <= 10; n++) await send(id, LONG(n))
    expect(lastSent()[0]).toEqual({ role: 'system', content: 'Be kind.' })
    expect(summaryRequests()).toHaveLength(from)
    const { database } = server.app.services
    const expire = `update conversation_summary set expires_at = 1 where conversation_id = '${id}'`
    await database.write([{ sql: expire, parameters: [] }])
    await send(id, LONG(11))
    await untilSummaries(id, 1)
  })

  test('a talk that began long is summarized in steps that the model can read', async () => {
    behave()
    const messages = Array.from({ length: 60 }, (_, n) => ({
      role: n % 2 === 0 ? 'user' : 'assistant',
      content: LONG(n + 1),
    }))
    const made = await server.call<Conversation>('POST', '/conversations', {
      aiSystem: 'openai-compatible',
      model: 'm',
      systemMessage: 'Be kind.',
      messages,
      configuration: { contextWindow: 2_048, maxTokens: 500, contextPolicy: 'summarize' },
    })
    const id = made.body.conversationId
    const from = summaryRequests().length
    await send(id, 'Hello')
    await expect.poll(async () => (await summaries(id)).length).toBeGreaterThan(3)
    const historyTokens = async () => (await runOf(id, (await send(id, 'Go on')).runId)).context?.['historyTokens']
    await expect.poll(historyTokens).toBeLessThan(900)
    const asked = summaryRequests().slice(from)
    const text = asked.map((request) => sentTo(request)[1]?.content).join('\n')
    for (const n of [1, 20, 40]) expect(text.split(LONG(n).trim())).toHaveLength(2)
    expect(asked.slice(1).every((request) => sentTo(request)[1]?.content.includes(SUMMARY))).toBe(true)
    await expectTotals(id)
  })

  test('summaries outlive the server, and one that was broken off is not counted', async () => {
    const place = await kind.create()
    let one = await serve(place, env)
    const talk = async (id: string, message: string) => {
      const answer = await one.call('PATCH', `/conversations/${id}/chat`, { message })
      expect(answer.status).toBe(200)
    }
    try {
      behave()
      const make = async () =>
        (
          await one.call<Conversation>('POST', '/conversations', {
            aiSystem: 'openai-compatible',
            model: 'm',
            systemMessage: 'Be kind.',
            configuration: { contextWindow: 2_048, maxTokens: 500, contextPolicy: 'summarize' },
          })
        ).body.conversationId
      const id = await make()
      for (let n = 1; n <= 10; n++) await talk(id, LONG(n))
      const kinds = async (of: string) =>
        (await one.call<{ data: Run[] }>('GET', `/conversations/${of}/runs?pageSize=100`)).body.data.map(
          (run) => run.kind,
        )
      await expect.poll(() => kinds(id)).toContain('summary')
      provider.always((request) => (isSummaryRequest(request) ? { isSilent: true } : chatReply(['Reply'])))
      const other = await make()
      const from = summaryRequests().length
      for (let n = 1; n <= 10; n++) await talk(other, LONG(n))
      await expect.poll(() => summaryRequests().length).toBe(from + 1)
      await one.close()
      one = await serve(place, env)
      expect(await kinds(other)).not.toContain('summary')
      await talk(id, 'Go on')
      expect(lastSent()[0]?.content).toContain(SUMMARY)
      behave()
      await talk(other, LONG(11))
      await expect.poll(() => kinds(other)).toContain('summary')
    } finally {
      await one.close()
      await place.remove()
    }
  })

  test('a server that dies while it makes a summary leaves a claim that runs out', async () => {
    const place = await kind.create()
    const dying = await startServer(place, env)
    let hasAsked = false
    provider.always((request) => {
      hasAsked ||= isSummaryRequest(request)
      return isSummaryRequest(request) ? { isSilent: true } : chatReply(['Reply'])
    })
    const made = await dying.call('POST', '/conversations', {
      aiSystem: 'openai-compatible',
      model: 'm',
      systemMessage: 'Be kind.',
      configuration: { contextWindow: 2_048, maxTokens: 500, contextPolicy: 'summarize' },
    })
    const id = (made.body as Json)['conversationId'] as string
    for (let n = 1; !hasAsked && n < 30; n++)
      await dying.call('PATCH', `/conversations/${id}/chat`, { message: LONG(n) })
    await expect.poll(() => hasAsked).toBe(true)
    dying.kill('SIGKILL')
    await dying.ended

    behave()
    const one = await serve(place, env)
    const { database } = one.app.services
    const { builder } = database.dialect
    const versions = () =>
      database.read(builder.selectFrom('conversation_summary').select(['version', 'text']).compile())
    expect(await versions()).toEqual([{ version: 1, text: null }])
    await one.call('PATCH', `/conversations/${id}/chat`, { message: LONG(40) })
    expect(lastSent()[0]).toEqual({ role: 'system', content: 'Be kind.' })
    await database.write([{ sql: 'update conversation_summary set expires_at = 1', parameters: [] }])
    await one.call('PATCH', `/conversations/${id}/chat`, { message: LONG(41) })
    await expect.poll(() => versions()).toEqual([{ version: 1, text: SUMMARY }])
    await one.close()
    await place.remove()
  })

  test('settings that cannot be are refused when they are written', async () => {
    const attempt = (configuration: Json) =>
      server.call('POST', '/conversations', { systemMessage: 'x', aiSystem: 'rehearsal', model: 'r', configuration })
    for (const [configuration, field] of [
      [{ contextPolicy: 'forget' }, 'configuration.contextPolicy'],
      [{ contextWindow: 10 }, 'configuration.contextWindow'],
      [{ contextWindow: '4096' }, 'configuration.contextWindow'],
      [{ summaryModel: { aiSystem: 'skynet', model: 'm' } }, 'configuration.summaryModel.aiSystem'],
      [{ summaryModel: { aiSystem: 'openai' } }, 'configuration.summaryModel'],
    ] as const) {
      const error = expectError(await attempt(configuration), 'bad_request')
      expect(error.details.map((detail) => detail.field).join()).toContain(field)
    }
  })
})
