import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import type { Json, RunningApp } from '../support/app.ts'
import { startAppWithProvider } from '../support/app-with-provider.ts'
import { onEveryDatabase } from '../support/databases.ts'
import type { ProviderServer } from '../support/provider-server.ts'

/** What a provider may write where a number of tokens belongs, as JSON. */
const ODD = [
  ...['-1', '-9007199254740993', '0.5', '12.7', '1e-3', '1e999', '-1e999', '2147483648', '100000001'],
  ...['9007199254740991', '9007199254740993', '9223372036854775807', '18446744073709551616', '1e308'],
  ...['"12"', '""', '"NaN"', 'true', '[12]', '{"total":12}'],
]

type Usage = { prompt_tokens: number; completion_tokens: number; total_tokens: number }
type RunDto = { usage: Usage; isUsageEstimated: boolean; status: string }

onEveryDatabase('an odd number of tokens', (kind) => {
  let server: RunningApp
  let provider: ProviderServer
  let key: { 'x-hl-api-key': string }
  beforeAll(async () => {
    ;({ server, provider } = await startAppWithProvider(kind))
  })
  beforeEach(async () => {
    const scopes = ['conversations:read', 'conversations:write']
    const made = await server.call('POST', '/api-keys', { name: 'with a budget', scopes, dailyTokens: 1_000_000 })
    key = { 'x-hl-api-key': made.body['key'] as string }
  })
  afterAll(() => server.close())

  const answerWith = (usage: string) => {
    const chunk = (json: string) => `data: ${json}\n\n`
    provider.always({
      headers: { 'content-type': 'text/event-stream' },
      pieces: [
        chunk('{"choices":[{"index":0,"delta":{"content":"Yes."}}]}'),
        chunk('{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'),
        chunk(`{"choices":[],"usage":${usage}}`),
        'data: [DONE]\n\n',
      ],
    })
  }

  test.each(ODD)('%s counts as unknown, is estimated, and harms neither sums nor the budget', async (odd) => {
    answerWith(`{"prompt_tokens":${odd},"completion_tokens":3}`)
    const first = { aiSystem: 'openai-compatible', model: 'm', message: 'Hi' }
    const started = await server.call('POST', '/conversations', first, key)
    expect(started.status, started.text).toBe(200)
    const id = started.body['conversationId'] as string
    answerWith(`{"prompt_tokens":3,"completion_tokens":${odd}}`)
    const second = await server.call('POST', `/conversations/${id}/chat`, { message: 'And?' }, key)
    expect(second.status, second.text).toBe(200)
    answerWith('{"prompt_tokens":100,"completion_tokens":10}')
    const third = await server.call<{ usage: Usage }>('POST', `/conversations/${id}/chat`, { message: 'And?' }, key)
    expect(third.body.usage).toEqual({ prompt_tokens: 100, completion_tokens: 10, total_tokens: 110 })

    const runs = (await server.call<{ data: RunDto[] }>('GET', `/conversations/${id}/runs`)).body.data
    expect(runs.map(({ isUsageEstimated }) => isUsageEstimated)).toEqual([false, true, true])
    for (const { usage } of runs) {
      for (const count of Object.values(usage)) expect([count, Number.isInteger(count)]).toEqual([count, true])
      expect(Math.min(...Object.values(usage))).toBeGreaterThan(0)
      expect(usage.total_tokens).toBeLessThan(1_000)
    }
    const conversation = (await server.call<Json>('GET', `/conversations/${id}`)).body
    const sum = runs.reduce((total, { usage }) => total + usage.total_tokens, 0)
    expect(conversation['totalTokens']).toBe(sum)
  })
})
