import { Agent, type Dispatcher, EventSource } from 'undici'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  ADMIN_KEY,
  createConversation,
  createOrganization,
  expectError,
  type Json,
  parseSse,
  type RunningApp,
  serve,
  startApp,
} from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'

type Run = {
  runId: string
  kind: string
  status: string
  finishReason: string | null
  messageId: string
  usage: { total_tokens: number }
  attempts: { outcome: string }[]
  startedAt: string | null
  endedAt: string | null
  timeToFirstTokenMs: number | null
  durationMs: number | null
}
type RunPage = { data: Run[]; continuationToken: string | null }
type Message = { role: string; content: string; messageId: string }
type Conversation = { chatMessages: Message[] }

const NOWHERE = '01890000-0000-7000-8000-000000000000'

onEveryDatabase('runs', (kind) => {
  let server: RunningApp
  beforeAll(async () => {
    server = await startApp(kind)
  })
  afterAll(() => server.close())

  const runsOf = async (id: string, query = '') =>
    (await server.call<RunPage>('GET', `/conversations/${id}/runs${query}`)).body
  const events = (id: string, runId: string, query = '', headers = {}) =>
    server.open('GET', `/conversations/${id}/runs/${runId}/events${query}`, undefined, headers)
  const send = (id: string, query = '', message = 'Hi') =>
    server.call('PATCH', `/conversations/${id}/chat${query}`, { message })
  const read = async (id: string) => (await server.call<Conversation>('GET', `/conversations/${id}`)).body
  /** Opens a stream and gives it back when the first event has come. */
  const begin = async (id: string, query = '') => {
    const response = await server.open('PATCH', `/conversations/${id}/chat-sse${query}`, { message: 'Hi' })
    return { response, runId: response.headers.get('x-dramatis-run-id') as string }
  }

  test('are recorded with what they did and cost', async () => {
    const id = await createConversation(server)
    const answer = await send(id)
    const runId = answer.body['runId'] as string
    const run = (await server.call<Run>('GET', `/conversations/${id}/runs/${runId.toUpperCase()}`)).body
    expect(run).toMatchObject({
      runId,
      conversationId: id,
      kind: 'send',
      status: 'completed',
      finishReason: 'stop',
      messageId: answer.body['messageId'],
      usage: answer.body['usage'],
      aiSystem: 'rehearsal',
      restarts: 0,
      error: null,
      attempts: [{ outcome: 'completed', aiSystem: 'rehearsal', error: null }],
    })
    expect(run.durationMs).toBeGreaterThanOrEqual(run.timeToFirstTokenMs as number)
    expect((await runsOf(id)).data).toEqual([run])
  })

  test('are listed newest first, page by page', async () => {
    const id = await createConversation(server)
    const made: string[] = []
    for (let i = 0; i < 5; i++) made.unshift((await send(id)).body['runId'] as string)
    const seen: string[] = []
    let token: string | null = ''
    do {
      const page = await runsOf(id, `?pageSize=2${token ? `&continuationToken=${token}` : ''}`)
      seen.push(...page.data.map(({ runId }) => runId))
      token = page.continuationToken
    } while (token !== null)
    expect(seen).toEqual(made)
    const other = await createConversation(server)
    const first = await runsOf(id, '?pageSize=2')
    const foreign = `/conversations/${other}/runs?continuationToken=${first.continuationToken}`
    expectError(await server.call('GET', foreign), 'bad_request')
  })

  test('replay the same bytes when they have ended, from any event on', async () => {
    const id = await createConversation(server, { text: 'One "two"\nthree 😀 four.' })
    const { response, runId } = await begin(id)
    const whole = await response.text()
    expect(await (await events(id, runId)).text()).toBe(whole)
    const blocks = whole.split('\n\n').slice(0, -1)
    for (let n = 0; n < blocks.length; n++) {
      const rest = `${blocks.slice(n + 1).join('\n\n')}\n\n`.replace(/^\n\n$/, '')
      expect(await (await events(id, runId, `?after=${n}`)).text()).toBe(rest || 'data: [DONE]\n\n')
    }
    // Of a browser that comes back: each block but the last has an id.
    for (let n = 0; n < blocks.length - 2; n++) {
      const lastEventId = { 'last-event-id': `${runId}:${n}` }
      const rest = `${blocks.slice(n + 1).join('\n\n')}\n\n`
      expect(await (await events(id, runId, '', lastEventId)).text()).toBe(rest)
      expect(await (await events(id, runId, '?after=-1', lastEventId)).text()).toBe(rest)
    }
  })

  test.each<[string, Json]>([
    ['completed', { text: 'One two three.' }],
    ['failed', { text: 'one two three four', failAtToken: 2 }],
  ])('that have %s tell a browser that has read them to the end not to come back', async (_how, script) => {
    const id = await createConversation(server, script)
    const { response, runId } = await begin(id)
    const ids = parseSse(await response.text()).flatMap((event) => event.id ?? [])
    const [nextToLast, last] = ids.slice(-2) as [string, string]
    const again = (lastEventId: string, query = '') => events(id, runId, query, { 'last-event-id': lastEventId })
    for (const query of ['', '?after=0']) {
      const answer = await again(last, query)
      expect([answer.status, await answer.text()]).toEqual([204, ''])
      expect(answer.headers.get('x-dramatis-run-id')).toBe(runId)
      expect((await again(`${runId.toUpperCase()}:999`, query)).status).toBe(204)
    }
    const rest = parseSse(await (await again(nextToLast)).text())
    expect(rest.map((event) => event.id)).toEqual([last, null])
    // A program that asks with `after` gets a stream that ends as each does.
    const after = await events(id, runId, `?after=${ids.length - 1}`)
    expect([after.status, await after.text()]).toEqual([200, 'data: [DONE]\n\n'])
  })

  test('are read by an EventSource once, which then stays away', async () => {
    const id = await createConversation(server, { text: 'One two three.' })
    const { response, runId } = await begin(id)
    const whole = parseSse(await response.text()).map(({ data }) => data)
    const withKey: Dispatcher.DispatcherComposeInterceptor = (dispatch) => (options, handler) =>
      dispatch(
        { ...options, headers: { ...(options.headers as Record<string, string>), 'x-hl-api-key': ADMIN_KEY } },
        handler,
      )
    const dispatcher = new Agent().compose(withKey)
    const url = `${server.url}/conversations/${id}/runs/${runId}/events`
    const source = new EventSource(url, { node: { dispatcher, reconnectionTime: 1 } })
    const read: string[] = []
    source.onmessage = ({ data }) => read.push(data)
    await expect.poll(() => source.readyState).toBe(source.CLOSED)
    expect(read).toEqual(whole)
    await dispatcher.close()
  })

  test('that are under way are not at an end, whatever a browser says that it has', async () => {
    const id = await createConversation(server, { text: 'a b c d e f g h i j', tokensPerSecond: 40 })
    const { response, runId } = await begin(id)
    const answer = await events(id, runId, '', { 'last-event-id': `${runId}:999` })
    expect([answer.status, await answer.text()]).toEqual([200, 'data: [DONE]\n\n'])
    await response.text()
  })

  test('are followed while they are under way, by as many as want to', async () => {
    const id = await createConversation(server, { text: 'a b c d e f g h i j', tokensPerSecond: 40 })
    const { response, runId } = await begin(id)
    const readers = await Promise.all([
      events(id, runId),
      events(id, runId, '?after=2'),
      events(id, runId, '?after=1000'),
    ])
    const [whole = '', rest = '', nothing] = await Promise.all(readers.map((reader) => reader.text()))
    expect(whole).toBe(await response.text())
    expect(whole.endsWith(rest)).toBe(true)
    expect(parseSse(rest)[0]?.id).toBe(`${runId}:3`)
    expect(nothing).toBe('data: [DONE]\n\n')
  })

  test('are read on after the reader went away', async () => {
    const id = await createConversation(server, { text: 'a b c d e f g h i j', tokensPerSecond: 40 })
    const { response, runId } = await begin(id)
    const reader = (response.body as ReadableStream<Uint8Array>).getReader()
    const first = new TextDecoder().decode((await reader.read()).value)
    await reader.cancel()
    const last = parseSse(first).at(-1)?.id as string
    const rest = await (await events(id, runId, '', { 'last-event-id': last })).text()
    expect(first + rest).toBe(await (await events(id, runId)).text())
  })

  test('are read again after a restart, also when they failed in the middle', async () => {
    const place = await kind.create()
    const before = await serve(place)
    const id = await createConversation(before, { text: 'one two three four', failAtToken: 2 })
    const response = await before.open('PATCH', `/conversations/${id}/chat-sse`, { message: 'Hi' })
    const runId = response.headers.get('x-dramatis-run-id') as string
    const whole = await response.text()
    expect(whole).toContain('event: error')
    await before.close()
    const after = await serve(place)
    const again = await after.open('GET', `/conversations/${id}/runs/${runId}/events`)
    expect(await again.text()).toBe(whole)
    await after.close()
    await place.remove()
  })

  test('that failed before they had any text answer their error again', async () => {
    const id = await createConversation(server, { failAtToken: 0 })
    const failed = await send(id)
    expect(failed.status).toBeGreaterThanOrEqual(500)
    const [run] = (await runsOf(id)).data
    expect(run).toMatchObject({ status: 'failed', finishReason: 'error' })
    const again = await server.call('GET', `/conversations/${id}/runs/${run?.runId}/events`)
    expect([again.status, again.body]).toEqual([failed.status, failed.body])
  })

  test('of others cannot be read', async () => {
    const [id, other] = [await createConversation(server), await createConversation(server)]
    const runId = (await send(id)).body['runId'] as string
    for (const path of [`${other}/runs/${runId}`, `${id}/runs/${NOWHERE}`, `${NOWHERE}/runs/${runId}`]) {
      expectError(await server.call('GET', `/conversations/${path}`), 'not_found')
      expectError(await server.call('GET', `/conversations/${path}/events`), 'not_found')
    }
    const stranger = { 'x-hl-api-key': (await createOrganization(server)).key }
    for (const path of ['', `/${runId}`, `/${runId}/events`]) {
      const answer = await server.call('GET', `/conversations/${id}/runs${path}`, undefined, stranger)
      expectError(answer, 'not_found')
    }
    for (const header of ['x', runId, `${runId}:x`, `${NOWHERE}:1`, `${runId}:-1`]) {
      const path = `/conversations/${id}/runs/${runId}/events`
      expectError(await server.call('GET', path, undefined, { 'last-event-id': header }), 'bad_request', header)
    }
    expectError(await server.call('GET', `/conversations/${id}/runs/${runId}/events?after=-2`), 'bad_request')
  })

  test('stop when the caller goes away, if that was asked for', async () => {
    const id = await createConversation(server, { text: 'a b c d e f g h i j', tokensPerSecond: 20 })
    const { response, runId } = await begin(id, '?onDisconnect=cancel')
    const reader = (response.body as ReadableStream<Uint8Array>).getReader()
    await reader.read()
    await reader.cancel()
    const text = await (await events(id, runId)).text()
    const items = parseSse(text).slice(0, -1)
    expect(JSON.parse(items.at(-1)?.data as string)).toMatchObject({ choice: { finish_reason: 'cancelled' } })
    const kept = (await read(id)).chatMessages.at(-1)?.content as string
    expect('a b c d e f g h i j'.startsWith(kept) && kept.length < 19).toBe(true)
    const said = items.map(({ data }) => JSON.parse(data).choice.message.content).join('')
    expect(said).toBe(kept)
  })

  test('take unknown options for a mistake', async () => {
    const id = await createConversation(server)
    for (const option of ['onBusy=maybe', 'onDisconnect=stop', 'onCrash=', 'onBusy=wait&onBusy=wait']) {
      expectError(await send(id, `?${option}`), 'bad_request', option)
    }
  })
})
