import { expect, test } from 'vitest'
import { type Json, serve } from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'
import { startServer } from '../support/process.ts'
import { chatReply, startProviderServer } from '../support/provider-server.ts'

type Run = { status: string; restarts: number }

onEveryDatabase('a server that dies', (kind) => {
  test('leaves no turn running, and one that asked for it and had no text is started again, once', async () => {
    const place = await kind.create()
    const provider = await startProviderServer()
    const env = { DRAMATIS_LEASE_MS: '500', OPENAI_COMPATIBLE_BASE_URL: `${provider.url}/v1` }
    const dying = await startServer(place, env)
    const { body: started } = await dying.call('POST', '/conversations', { aiSystem: 'openai-compatible', model: 'm' })
    const id = (started as Json)['conversationId'] as string
    provider.always(chatReply(['a', ' b', ' c']))
    const isOfTurn = ({ path }: { path: string }) => path.endsWith('/chat/completions')
    provider.script([{ isSilent: true }], '/v1/chat/completions')
    for (const [n, query] of ['?onCrash=restart', '?onBusy=wait&onCrash=restart', '?onBusy=wait'].entries()) {
      const message = ['first', 'second', 'third'][n]
      void dying.call('PATCH', `/conversations/${id}/chat${query}`, { message }).catch(() => {})
      const runs = async () => ((await dying.call('GET', `/conversations/${id}/runs`)).body as { data: Run[] }).data
      await expect.poll(async () => (await runs()).length).toBe(n + 1)
    }
    await expect.poll(() => provider.requests.filter(isOfTurn).length).toBe(1)
    dying.kill('SIGKILL')
    await dying.ended

    const server = await serve(place, env)
    const runs = async () =>
      (await server.call<{ data: Run[] }>('GET', `/conversations/${id}/runs`)).body.data.reverse()
    const isOpen = ({ status }: Run) => status === 'running' || status === 'accepted'
    await expect.poll(async () => (await runs()).filter(isOpen)).toEqual([])
    expect(await runs()).toMatchObject([
      { status: 'completed', restarts: 1 },
      { status: 'completed', restarts: 1 },
      { status: 'interrupted', restarts: 0 },
    ])
    const { chatMessages } = (await server.call<{ chatMessages: Json[] }>('GET', `/conversations/${id}`)).body
    expect(chatMessages.map(({ content }) => content)).toEqual(['first', 'a b c', 'second', 'a b c', 'third'])
    await server.close()
    await provider.close()
    await place.remove()
  })
})
