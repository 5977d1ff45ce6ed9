import { expect, test } from 'vitest'
import { startApp } from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'
import { chatReply, startProviderServer } from '../support/provider-server.ts'

/** Makes the database refuse what one run says, as no reply should be able to make it. */
const REFUSALS = {
  sqlite: `create trigger refusal before insert on run_chunk when new.text like '%unspeakable%'
    begin select raise(abort, 'refused'); end`,
  postgres: `alter table run_chunk add constraint refusal check (text not like '%unspeakable%')`,
}

onEveryDatabase('a reply that the database refuses', (kind) => {
  test('ends, and those that are stored together with it go on', async () => {
    const provider = await startProviderServer()
    const server = await startApp(kind, {
      OPENAI_COMPATIBLE_BASE_URL: `${provider.url}/v1`,
      OPENAI_COMPATIBLE_MODEL: 'm',
    })
    try {
      await server.app.services.database.write([{ sql: REFUSALS[kind.name], parameters: [] }])
      // All say their words at the same moments, so that they share commits.
      const gates = Array.from({ length: 5 }, () => Promise.withResolvers<void>())
      provider.always(({ body }) => {
        const isBad = JSON.stringify(body).includes('Say it')
        const { pieces = [], ...reply } = chatReply(
          gates.map((_, i) => (isBad && i === 2 ? 'unspeakable ' : `word${i} `)),
        )
        return {
          ...reply,
          pieces: pieces.flatMap((piece, i) => [...(gates[i] ? [{ until: gates[i].promise }] : []), piece]),
        }
      })
      const says = ['Hello', 'Hello', 'Say it', 'Hello', 'Hello']
      const replies = says.map(async (message) => {
        const made = await server.call('POST', '/conversations', { aiSystem: 'openai-compatible', model: 'm' })
        const answer = await server.call('PATCH', `/conversations/${made.body['conversationId']}/chat`, { message })
        const runs = await server.call('GET', `/conversations/${made.body['conversationId']}/runs`)
        return { answer, status: (runs.body['data'] as { status: string }[])[0]?.status }
      })
      while (provider.requests.length < says.length) await new Promise((resolve) => setTimeout(resolve, 5))
      for (const gate of gates) {
        gate.resolve()
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
      const ended = await Promise.all(replies)
      expect(ended.map(({ status }) => status)).toEqual(
        says.map((said) => (said === 'Say it' ? 'interrupted' : 'completed')),
      )
      for (const [i, { answer }] of ended.entries()) {
        if (says[i] === 'Hello') expect(answer.text).toContain('word0 word1 word2 word3 word4 ')
      }
    } finally {
      await server.close()
      await provider.close()
    }
  })
})
