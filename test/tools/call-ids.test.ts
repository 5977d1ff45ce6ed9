import fc from 'fast-check'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { expectError, type Json, type RunningApp, serve } from '../support/app.ts'
import { onEveryDatabase, type TestDatabase } from '../support/databases.ts'
import {
  type Behaviour,
  chatChunk,
  chatReply,
  type ProviderServer,
  startProviderServer,
} from '../support/provider-server.ts'
import { startToolServer, type ToolServer } from '../support/tool-server.ts'
import { itemsOf, startWithTools, watchWaits } from '../support/tools.ts'

/** A step of a reply in which the model makes these calls, under ids of its own. */
function callingReply(calls: readonly { id: string; name: string; input: Json }[]): Behaviour {
  const toolCalls = calls.map(({ id, name, input }, index) => ({
    index,
    id,
    type: 'function',
    function: { name, arguments: JSON.stringify(input) },
  }))
  return {
    headers: { 'content-type': 'text/event-stream' },
    pieces: [
      chatChunk([{ index: 0, delta: { role: 'assistant', content: '', tool_calls: toolCalls }, finish_reason: null }]),
      chatChunk([{ index: 0, delta: {}, finish_reason: 'tool_calls' }]),
      'data: [DONE]\n\n',
    ],
  }
}

const made = fc.record({
  // What models and providers really send: the same in each step, the same twice, nothing, what nobody can store.
  id: fc.constantFrom('call_0', 'call_0', 'call_1', '', 'functions.pay:0', ' ', 'ü\0'),
  isAsked: fc.boolean(),
  isApproved: fc.boolean(),
})
const turns = fc.array(
  fc.record({
    steps: fc.array(fc.array(made, { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 4 }),
    isAgain: fc.boolean(),
    stopsBefore: fc.option(fc.nat(3), { freq: 4 }),
  }),
  { minLength: 1, maxLength: 3 },
)

onEveryDatabase('calls whose model uses its ids again', (kind) => {
  let place: TestDatabase
  let server: RunningApp
  let provider: ProviderServer
  let service: ToolServer
  const restart = async () => {
    server = await serve(place, {
      OPENAI_COMPATIBLE_BASE_URL: `${provider.url}/v1`,
      OPENAI_COMPATIBLE_MODEL: 'm',
      DRAMATIS_ALLOW_PRIVATE_HOSTS: '127.0.0.1',
      DRAMATIS_LEASE_MS: '500',
    })
  }
  beforeAll(async () => {
    ;[place, provider, service] = await Promise.all([kind.create(), startProviderServer(), startToolServer()])
    await restart()
  })
  afterEach(() => {
    service.requests.length = 0
    provider.requests.length = 0
  })
  afterAll(async () => {
    await server.close()
    await Promise.all([place.remove(), provider.close(), service.close()])
  })

  const toolOf = (name: string, requiresApproval: boolean): Json => ({
    type: 'http',
    name,
    description: 'Does it.',
    inputSchema: { type: 'object' },
    method: 'POST',
    url: `${service.url}/${name}`,
    requiresApproval,
  })
  const converse = () =>
    startWithTools(
      server,
      [toolOf('pay', true), toolOf('look', false)],
      { maxToolSteps: 16 },
      { aiSystem: 'openai-compatible', model: 'm' },
    )

  /** What a strict provider checks of each request: no id twice, and each result behind its call. */
  function expectStrict(): void {
    for (const { body } of provider.requests) {
      const { messages } = body as { messages: { tool_calls?: { id: string }[]; tool_call_id?: string }[] }
      const called = messages.flatMap(({ tool_calls = [] }) => tool_calls.map(({ id }) => id))
      expect(new Set(called).size).toBe(called.length)
      expect(messages.flatMap(({ tool_call_id }) => tool_call_id ?? [])).toEqual(called)
    }
  }

  test('are each made once when they are approved, and never when they are refused', { timeout: 240_000 }, async () => {
    let mark = 0
    await fc.assert(
      fc.asyncProperty(turns, async (all) => {
        const id = await converse()
        const expected: number[] = []
        const refused: number[] = []
        const everyId: string[] = []
        for (const [n, { steps, isAgain, stopsBefore }] of all.entries()) {
          const marked = steps.map((step) => step.map((call) => ({ ...call, mark: ++mark })))
          provider.script([
            ...marked.map((step) =>
              callingReply(
                step.map((call) => ({ id: call.id, name: call.isAsked ? 'pay' : 'look', input: { mark: call.mark } })),
              ),
            ),
            chatReply(['Done.']),
          ])
          const path = isAgain && n > 0 ? 'regenerate' : 'chat-sse'
          const body = path === 'chat-sse' ? { message: 'Go' } : {}
          const begun = await server.open('POST', `/conversations/${id}/${path}`, body, { accept: 'text/event-stream' })
          const run = `/conversations/${id}/runs/${begun.headers.get('x-dramatis-run-id')}`
          let waits = watchWaits(begun)
          const decided: string[] = []
          for (const [at, step] of marked.entries()) {
            const asked = step.filter(({ isAsked }) => isAsked)
            expected.push(...step.filter(({ isAsked, isApproved }) => !isAsked || isApproved).map((call) => call.mark))
            refused.push(...asked.filter(({ isApproved }) => !isApproved).map((call) => call.mark))
            if (asked.length === 0) continue
            const waitingFor = await waits.next()
            expect(waitingFor).toHaveLength(asked.length)
            if (stopsBefore === at) {
              // What needs no approval is made before anything else can happen to it.
              const free = step.filter(({ isAsked }) => !isAsked)
              const isMade = (one: { mark: number }) =>
                service.requests.some(({ body }) => JSON.parse(body).mark === one.mark)
              await expect.poll(() => free.every(isMade)).toBe(true)
              await server.close()
              await restart()
              waits = watchWaits(await server.open('GET', `${run}/events`))
              for (
                let seen = 0;
                seen <= marked.slice(0, at).filter((one) => one.some((call) => call.isAsked)).length;
                seen++
              )
                await waits.next()
            }
            for (const old of decided) {
              for (const what of ['approve', 'reject']) {
                const answer = await server.call('POST', `${run}/${what}`, { toolCallId: old })
                expectError(answer, 'conflict')
              }
            }
            for (const [i, { isApproved }] of asked.entries()) {
              const toolCallId = waitingFor?.[i] ?? ''
              const decide = () => server.call('POST', `${run}/${isApproved ? 'approve' : 'reject'}`, { toolCallId })
              await expect.poll(async () => (await decide()).status).toBe(200)
              decided.push(toolCallId)
            }
          }
          while ((await waits.next()) !== null);
          const { items } = itemsOf(waits.text())
          expect(items.at(-1)?.choice.finish_reason).toBe('stop')
          everyId.push(
            ...items.flatMap(({ choice }) => (choice.message.toolCalls ?? []).map((call) => call.toolCallId)),
          )
        }
        const marks = service.requests.map(({ body }) => (JSON.parse(body) as { mark: number }).mark)
        expect(marks.sort((a, b) => a - b)).toEqual(expected.sort((a, b) => a - b))
        expect(marks.filter((one) => refused.includes(one))).toEqual([])
        expect(new Set(everyId).size).toBe(everyId.length)
        expectStrict()
        service.requests.length = 0
        provider.requests.length = 0
      }),
      { numRuns: 25 },
    )
  })

  test('of the client too: the results of a step are for the calls of that step', async () => {
    const client = { type: 'client', name: 'ask', description: 'Asks.', inputSchema: { type: 'object' } }
    const history = [
      { role: 'user', content: 'Before' },
      { role: 'assistant', content: '', toolCalls: [{ toolCallId: 'call_0', name: 'ask', input: {} }] },
      { role: 'tool', content: 'old', toolCallId: 'call_0', name: 'ask' },
      { role: 'assistant', content: '', toolCalls: [{ toolCallId: 'call_0', name: 'ask', input: {} }] },
      { role: 'tool', content: 'older', toolCallId: 'call_0', name: 'ask' },
      { role: 'assistant', content: 'Said.' },
    ]
    const id = await startWithTools(
      server,
      [client],
      {},
      { aiSystem: 'openai-compatible', model: 'm', messages: history },
    )
    const twice = [
      { id: 'call_0', name: 'ask', input: { n: 1 } },
      { id: 'call_0', name: 'ask', input: { n: 2 } },
    ]
    provider.script([callingReply(twice), callingReply(twice), chatReply(['Done.'])])
    type Whole = { choices: { message: { content: string; toolCalls?: { toolCallId: string; input: Json }[] } }[] }
    let answer = await server.call<Whole>('POST', `/conversations/${id}/chat`, { message: 'Go' })
    const ids = ['call_0']
    for (const round of [1, 2]) {
      const calls = answer.body.choices[0]?.message.toolCalls ?? []
      expect(calls.map(({ input }) => input)).toEqual([{ n: 1 }, { n: 2 }])
      const stale = calls.map((_, n) => ({ toolCallId: ids.at(n - 2) ?? 'call_0', content: 'x' }))
      expectError(await server.call('POST', `/conversations/${id}/tool-results`, { results: stale }), 'bad_request')
      ids.push(...calls.map(({ toolCallId }) => toolCallId))
      const results = calls.map(({ toolCallId, input }) => ({ toolCallId, content: `${round}/${input['n']}` }))
      answer = await server.call<Whole>('POST', `/conversations/${id}/tool-results`, { results: results.reverse() })
    }
    expect(answer.body.choices[0]?.message.content).toBe('Done.')
    expect(new Set(ids).size).toBe(5)
    expectStrict()
    const { messages } = (provider.requests.at(-1)?.body ?? {}) as { messages: { role: string; content: string }[] }
    const results = messages.filter(({ role }) => role === 'tool').map(({ content }) => content)
    expect(results).toEqual(['old', 'older', '1/1', '1/2', '2/1', '2/2'])
  })

  test('and in a history each call of a message needs an id of its own', async () => {
    const toolCalls = [1, 2].map((n) => ({ toolCallId: 'call_0', name: 'ask', input: { n } }))
    const answer = await server.call('POST', '/conversations', {
      aiSystem: 'rehearsal',
      model: 'rehearsal',
      messages: [
        { role: 'user', content: 'Hi' },
        { role: 'assistant', content: '', toolCalls },
      ],
    })
    expect(expectError(answer, 'bad_request').details[0]?.field).toBe('messages.1.toolCalls.1.toolCallId')
  })
})
