import { setTimeout as wait } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { type Json, serve } from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'
import { startServer } from '../support/process.ts'

type Run = { status: string; restarts: number }

onEveryDatabase('a server that dies', (kind) => {
  test('leaves no turn running, and one that asked for it and had no text is started again, once', async () => {
    const place = await kind.create()
    const lease = { DRAMATIS_LEASE_MS: '500' }
    const dying = await startServer(place, lease)
    const { body: started } = await dying.call('POST', '/conversations', {
      ...{ aiSystem: 'rehearsal', model: 'rehearsal' },
      configuration: { rehearsal: { text: 'a b c', delayMs: 1_500 } },
    })
    const id = (started as Json)['conversationId'] as string
    const send = (query: string, message: string) =>
      void dying.call('PATCH', `/conversations/${id}/chat${query}`, { message }).catch(() => {})
    send('?onCrash=restart', 'first')
    await wait(200)
    send('?onBusy=wait&onCrash=restart', 'second')
    await wait(200)
    send('?onBusy=wait', 'third')
    await wait(200)
    dying.kill('SIGKILL')
    await dying.ended

    const server = await serve(place, lease)
    const runs = async () =>
      (await server.call<{ data: Run[] }>('GET', `/conversations/${id}/runs`)).body.data.reverse()
    while ((await runs()).some(({ status }) => status === 'running' || status === 'accepted')) await wait(50)
    expect(await runs()).toMatchObject([
      { status: 'completed', restarts: 1 },
      { status: 'completed', restarts: 1 },
      { status: 'interrupted', restarts: 0 },
    ])
    const { chatMessages } = (await server.call<{ chatMessages: Json[] }>('GET', `/conversations/${id}`)).body
    expect(chatMessages.map(({ content }) => content)).toEqual(['first', 'a b c', 'second', 'a b c', 'third'])
    await server.close()
    await place.remove()
  })
})
