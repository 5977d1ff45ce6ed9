import { Agent } from 'undici'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  type Behaviour,
  chatChunk,
  chatReply,
  type ProviderServer,
  startProviderServer,
} from '../../../../test/support/provider-server.ts'
import { readProviderSettings } from '../providers/provider-settings.ts'
import { createModelRegistry, type ModelRegistry } from '../providers/registry.ts'
import { createResilience } from './resilience.ts'

let provider: ProviderServer
let registry: ModelRegistry
const dispatcher = new Agent()

beforeAll(async () => {
  provider = await startProviderServer()
  const settings = readProviderSettings({ OPENAI_COMPATIBLE_BASE_URL: `${provider.url}/v1` })
  registry = createModelRegistry({ settings, dispatcher, clock: Date.now })
})
afterAll(async () => {
  await dispatcher.destroy()
  await provider.close()
})
beforeEach(() => provider.always(null))

const answer = (status: number, message = 'no'): Behaviour => ({
  status,
  headers: { 'content-type': 'application/json' },
  pieces: [JSON.stringify({ error: { message } })],
})
const inStream = (message: string): Behaviour => ({
  headers: { 'content-type': 'text/event-stream' },
  pieces: [
    chatChunk([{ index: 0, delta: { role: 'assistant', content: '' }, finish_reason: null }]),
    `data: ${JSON.stringify({ error: { message } })}\n\n`,
  ],
})

/** Lets the provider fail ten callers of two organizations, and says whether a third can use this and another model. */
async function afterFailures(behaviour: Behaviour) {
  const { generate } = createResilience({ registry, clock: Date.now, retries: 0, sleep: async () => {} })
  const ask = async (organizationId: string, conversationId: string, model: string) => {
    const { signal } = new AbortController()
    const outcome = await generate({
      chain: [{ aiSystem: 'openai-compatible', model }],
      caller: { organizationId, keyId: conversationId, conversationId },
      request: { system: null, messages: [{ role: 'user', content: 'Hello' }], settings: {}, signal },
      onText: () => {},
    })
    return outcome.ok ? 'answered' : outcome.error.kind
  }
  provider.always(behaviour)
  for (let n = 0; n < 12; n++) await ask(n % 2 ? 'a' : 'b', `conversation ${n}`, 'ill')
  provider.always(chatReply(['Fine.']))
  return { same: await ask('c', 'other', 'ill'), other: await ask('c', 'other', 'healthy') }
}

describe('what a provider says of itself', () => {
  test.each<[string, Behaviour]>([
    ['500', answer(500)],
    ['502', answer(502)],
    ['503', answer(503)],
    ['529', answer(529, 'Overloaded')],
    ['an overload inside a stream', inStream('Overloaded')],
    ['an overload in other words', inStream('The engine is currently overloaded, please try again later')],
    ['a connection that is cut', { pieces: [], ending: 'cut' }],
  ])('keeps everybody from that model, and from no other: %s', async (_name, behaviour) => {
    expect(await afterFailures(behaviour)).toEqual({ same: 'unavailable', other: 'answered' })
  })
})

describe('what one request may have brought about', () => {
  test.each<[string, Behaviour]>([
    ['400', answer(400, 'the picture cannot be read')],
    ['401', answer(401)],
    ['403', answer(403)],
    ['404', answer(404)],
    ['408', answer(408)],
    ['409', answer(409)],
    ['413', answer(413)],
    ['422', answer(422)],
    ['429', answer(429)],
    ['501', answer(501)],
    ['an error inside a stream', inStream('the input was not understood')],
    [
      'a reply that breaks off in its middle',
      { headers: { 'content-type': 'text/event-stream' }, pieces: ['data: {'] },
    ],
  ])('keeps nobody from the model: %s', async (_name, behaviour) => {
    expect(await afterFailures(behaviour)).toEqual({ same: 'answered', other: 'answered' })
  })
})
