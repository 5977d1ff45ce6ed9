import { expect, test } from 'vitest'
import { ADMIN_KEY, type Json, serve } from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'
import { startServer } from '../support/process.ts'
import { chatReply, fixtureReply, startProviderServer } from '../support/provider-server.ts'
import { startToolServer } from '../support/tool-server.ts'
import { itemsOf, readConversation, shapeOf, watchWaits } from '../support/tools.ts'

const tool = (name: string, url: string, more: Json = {}) => ({
  type: 'http',
  name,
  description: 'Asks.',
  inputSchema: { type: 'object' },
  method: 'POST',
  url: `${url}/${name}`,
  ...more,
})

onEveryDatabase('a server that dies while it calls tools', (kind) => {
  test('never makes a call again, and leaves pairs that a strict provider takes', async () => {
    const [place, service, provider] = await Promise.all([kind.create(), startToolServer(), startProviderServer()])
    const env = {
      DRAMATIS_LEASE_MS: '500',
      DRAMATIS_ALLOW_PRIVATE_HOSTS: '127.0.0.1',
      OPENAI_COMPATIBLE_BASE_URL: `${provider.url}/v1`,
      OPENAI_COMPATIBLE_MODEL: 'm',
    }
    const dying = await startServer(place, env)
    service.on('/get_weather', () => {})
    provider.script([fixtureReply('chat-completions/tool-calls.sse')])
    const { body: started } = await dying.call('POST', '/conversations', {
      aiSystem: 'openai-compatible',
      model: 'm',
      configuration: { tools: [tool('get_weather', service.url), tool('get_time', service.url, { idempotent: true })] },
    })
    const id = (started as Json)['conversationId'] as string
    const path = `/conversations/${id}/chat?onCrash=restart`
    void dying.call('PATCH', path, { message: 'Weather?' }).catch(() => {})
    await Promise.all([service.asked('/get_weather'), service.asked('/get_time')])
    dying.kill('SIGKILL')
    await dying.ended

    const server = await serve(place, env)
    type Run = { runId: string; status: string; finishReason: string; restarts: number }
    const runs = async () => (await server.call<{ data: Run[] }>('GET', `/conversations/${id}/runs`)).body.data
    await expect.poll(async () => (await runs())[0]?.status).not.toBe('running')
    const [run] = await runs()
    expect(run).toMatchObject({ status: 'interrupted', finishReason: 'interrupted', restarts: 0 })
    const { chatMessages } = await readConversation(server, id)
    expect(chatMessages.map(({ role, name }) => name ?? role)).toEqual(['user', 'assistant', 'get_weather', 'get_time'])
    expect(chatMessages[2]?.content).toMatch(/^Error: the call was interrupted/)
    const replayed = await server.call('GET', `/conversations/${id}/runs/${run?.runId}/events`)
    const shape = shapeOf(itemsOf(replayed.text).items)
    expect([shape[0], ...shape.slice(1, 3).sort(), shape[3]]).toEqual([
      ...['calls:get_weather,get_time', 'result:get_time', 'result:get_weather', 'end:interrupted'],
    ])
    expect(shape).toHaveLength(4)

    provider.script([chatReply(['Hello', ' again.'])])
    const next = await server.call('PATCH', `/conversations/${id}/chat`, { message: 'And now?' })
    expect(next.status).toBe(200)
    const { messages } = (provider.requests.at(-1)?.body ?? {}) as { messages: Json[] }
    expect(messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'tool', 'tool', 'user'])
    const called = ((messages[1]?.['tool_calls'] ?? []) as Json[]).map((call) => call['id'])
    expect(messages.slice(2, 4).map((message) => message['tool_call_id'])).toEqual(called)
    expect(service.requests.map(({ path }) => path).sort()).toEqual(['/get_time', '/get_weather'])
    await server.close()
    await Promise.all([place.remove(), service.close(), provider.close()])
  })

  test('goes on to wait for an approval, and does not make a call again that was allowed', async () => {
    const [place, service] = await Promise.all([kind.create(), startToolServer()])
    const env = { DRAMATIS_LEASE_MS: '500', DRAMATIS_ALLOW_PRIVATE_HOSTS: '127.0.0.1' }
    const dying = await startServer(place, env)
    const { body: started } = await dying.call('POST', '/conversations', {
      aiSystem: 'rehearsal',
      model: 'rehearsal',
      configuration: {
        tools: [
          tool('look', service.url),
          tool('pay', service.url, { requiresApproval: true }),
          tool('ship', service.url, { requiresApproval: true }),
        ],
        rehearsal: { text: 'Done.', toolCalls: [[{ name: 'look' }], [{ name: 'pay' }, { name: 'ship' }]] },
      },
    })
    const id = (started as Json)['conversationId'] as string
    /** Nothing, as long as all goes well. */
    let answer: string | undefined
    void dying.call('PATCH', `/conversations/${id}/chat`, { message: 'Pay.' }).then(
      ({ body }) => {
        answer = JSON.stringify(body)
      },
      () => {},
    )
    type Run = { runId: string; status: string; usage: { total_tokens: number } }
    const runsOf = async (call: (method: string, path: string) => Promise<{ body: unknown }>) =>
      ((await call('GET', `/conversations/${id}/runs`)).body as { data: Run[] }).data
    const status = async () => answer ?? (await runsOf(dying.call))[0]?.status
    await expect.poll(status).toBe('waiting')
    const path = `/conversations/${id}/runs/${(await runsOf(dying.call))[0]?.runId}`
    const shown = await fetch(`${dying.url}${path}/events`, { headers: { 'x-hl-api-key': ADMIN_KEY } })
    const [pay, ship] = (await watchWaits(shown).next()) ?? []
    service.on('/pay', () => {})
    await dying.call('POST', `${path}/approve`, { toolCallId: pay })
    await service.asked('/pay')
    dying.kill('SIGKILL')
    await dying.ended

    const server = await serve(place, env)
    expect((await runsOf(server.call))[0]?.status).toBe('waiting')
    const reading = server.call('GET', `${path}/events`)
    const approve = () => server.call('POST', `${path}/approve`, { toolCallId: ship })
    await expect.poll(async () => (await approve()).status).toBe(200)
    const shape = shapeOf(itemsOf((await reading).text).items)
    expect(shape).toEqual([
      ...['calls:look', 'result:look', 'calls:pay,ship', 'waiting', 'result:pay', 'result:ship', 'text', 'end:stop'],
    ])
    expect(service.requests.map(({ path }) => path)).toEqual(['/look', '/pay', '/ship'])
    const { chatMessages } = await readConversation(server, id)
    const roles = ['user', 'assistant', 'tool', 'assistant', 'tool', 'tool', 'assistant']
    expect(chatMessages.map(({ role }) => role)).toEqual(roles)
    expect(chatMessages[4]?.content).toMatch(/^Error: the call was interrupted/)
    expect(chatMessages.at(-1)?.content).toBe('Done.')
    expect((await runsOf(server.call))[0]?.usage.total_tokens).toBeGreaterThan(0)
    await server.close()
    await Promise.all([place.remove(), service.close()])
  })
})
