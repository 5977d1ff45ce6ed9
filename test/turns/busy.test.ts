import { setTimeout as wait } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createConversation, expectError, type RunningApp, startApp } from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'
import { chatReply, type ProviderServer, startProviderServer } from '../support/provider-server.ts'

type Run = { runId: string; status: string; finishReason: string | null; restarts: number }
type Message = { role: string; content: string }
type Conversation = { chatMessages: Message[]; chatMessagesCount: number }

onEveryDatabase('a conversation that is busy', (kind) => {
  let server: RunningApp
  let provider: ProviderServer
  beforeAll(async () => {
    provider = await startProviderServer()
    provider.always(chatReply(['x', ' y']))
    server = await startApp(kind, { OPENAI_COMPATIBLE_BASE_URL: `${provider.url}/v1` })
  })
  afterAll(async () => {
    await server.close()
    await provider.close()
  })

  /** A conversation whose first turn says two words and then goes on for as long as the test wants it to. */
  async function hold() {
    const { body } = await server.call('POST', '/conversations', { aiSystem: 'openai-compatible', model: 'm' })
    const id = body['conversationId'] as string
    let release = () => {}
    const until = new Promise<void>((resolve) => {
      release = resolve
    })
    const reply = chatReply(['a', ' b', ' c'])
    const pieces = reply.pieces ?? []
    provider.script([{ ...reply, pieces: [...pieces.slice(0, 3), { until }, ...pieces.slice(3)] }])
    return { id, first: await begin(id), release }
  }

  const send = (id: string, message: string, query = '') =>
    server.call('PATCH', `/conversations/${id}/chat${query}`, { message })
  const said = async (id: string, role = 'user') =>
    (await server.call<Conversation>('GET', `/conversations/${id}`)).body.chatMessages
      .filter((message) => message.role === role)
      .map(({ content }) => content)
  const runs = async (id: string) =>
    (await server.call<{ data: Run[] }>('GET', `/conversations/${id}/runs?pageSize=100`)).body.data.reverse()
  const begin = async (id: string, message = 'first') => {
    const response = await server.open('PATCH', `/conversations/${id}/chat-sse`, { message })
    return { text: response.text(), runId: response.headers.get('x-dramatis-run-id') as string }
  }

  test('answers those who wait in the order in which they came', async () => {
    const { id, first, release } = await hold()
    const order: number[] = []
    const waiting: Promise<unknown>[] = []
    for (let i = 0; i < 5; i++) {
      const answer = send(id, `waiting ${i}`, '?onBusy=wait').then(({ status }) => order.push(status, i))
      waiting.push(answer)
      // In their order even where two connections race.
      while ((await runs(id)).length < i + 2) await wait(5)
    }
    expect((await runs(id)).slice(-1)[0]).toMatchObject({ status: 'accepted', finishReason: null })
    expectError(await send(id, 'pushing in'), 'conflict')
    release()
    await Promise.all([first.text, ...waiting])
    expect(order).toEqual([0, 1, 2, 3, 4].flatMap((i) => [200, i]))
    expect(await said(id)).toEqual(['first', ...[0, 1, 2, 3, 4].map((i) => `waiting ${i}`)])
    expect((await runs(id)).map(({ status }) => status)).toEqual(new Array(6).fill('completed'))
    const { chatMessages, chatMessagesCount } = (await server.call<Conversation>('GET', `/conversations/${id}`)).body
    expect(chatMessagesCount).toBe(chatMessages.length)
    expect(chatMessages.map(({ role }) => role)).toEqual(new Array(6).fill(['user', 'assistant']).flat())
  })

  test('lets twenty wait and no more', async () => {
    const { id, first, release } = await hold()
    const refused: (string | null)[] = []
    const answers = Array.from({ length: 30 }, async (_, i) => {
      const { status, headers } = await send(id, `${i}`, '?onBusy=wait')
      if (status === 429) refused.push(headers.get('retry-after'))
      return status
    })
    while (refused.length < 10) await wait(5)
    expect(await said(id)).toHaveLength(21)
    expect((await runs(id)).filter(({ status }) => status === 'accepted')).toHaveLength(20)
    expect(refused.every((retryAfter) => Number(retryAfter) >= 1)).toBe(true)
    await server.call('DELETE', `/conversations/${id}`)
    await first.text
    release()
    const statuses = await Promise.all(answers)
    expect([499, 429].map((one) => statuses.filter((status) => status === one).length)).toEqual([20, 10])
  })

  test('stops what it does for a message that interrupts', async () => {
    const { id, first, release } = await hold()
    const second = await send(id, 'stop that', '?onBusy=interrupt')
    expect(second.body['choices']).toMatchObject([{ finish_reason: 'stop' }])
    expect(await first.text).toContain('"finish_reason":"interrupted"')
    const [one, two] = await runs(id)
    expect(one).toMatchObject({ runId: first.runId, status: 'interrupted', finishReason: 'interrupted' })
    expect(two).toMatchObject({ status: 'completed' })
    const [interrupted = '', whole] = await said(id, 'assistant')
    expect(['a', 'a b']).toContain(interrupted)
    expect(whole).toBe('x y')
    release()
  })

  test('forgets the turn of one who waited and cancelled, but not the message', async () => {
    const { id, first, release } = await hold()
    const waiting = server.call('PATCH', `/conversations/${id}/chat?onBusy=wait`, { message: 'never mind' })
    let waits: Run | undefined
    while (!waits) waits = (await runs(id)).find(({ status }) => status === 'accepted')
    const receipt = await server.call('POST', `/conversations/${id}/runs/${waits.runId}/cancel`)
    expect(receipt.body).toMatchObject({ status: 'cancelled', finishReason: 'cancelled', textLength: 0 })
    expectError(await waiting, 'cancelled')
    release()
    await first.text
    expect(await said(id)).toEqual(['first', 'never mind'])
    expect((await send(id, 'and then')).status).toBe(200)
  })

  test('is deleted with all who wait', async () => {
    const { id, first, release } = await hold()
    const waiting = [1, 2, 3].map((i) => send(id, `${i}`, '?onBusy=wait'))
    while ((await runs(id)).length < 4) await wait(5)
    expect((await server.call('DELETE', `/conversations/${id}`)).status).toBe(204)
    for (const answer of await Promise.all(waiting)) expect([410, 499]).toContain(answer.status)
    await first.text
    release()
  })

  test('is deleted in whatever moment of the turns on it', async () => {
    for (let round = 0; round < 20; round++) {
      const id = await createConversation(server, { text: 'a', delayMs: round })
      const sends = [0, 1, 2, 3].map((i) => send(id, `${i}`, '?onBusy=wait'))
      await wait(round * 2)
      expect((await server.call('DELETE', `/conversations/${id}`)).status).toBe(204)
      for (const { status } of await Promise.all(sends)) expect([200, 410, 499]).toContain(status)
    }
    expect(server.logged.filter(({ level }) => Number(level) >= 50)).toEqual([])
  })
})
