import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { type Json, parseSse, type RunningApp } from '../support/app.ts'
import { startAppWithProvider } from '../support/app-with-provider.ts'
import { onEveryDatabase } from '../support/databases.ts'
import { type Behaviour, chatChunk, chatReply, type ProviderServer } from '../support/provider-server.ts'
import { readConversation, startWithTools, type Whole } from '../support/tools.ts'

const HEADERS = { 'content-type': 'text/event-stream' }
const MODEL = { aiSystem: 'openai-compatible', model: 'm' }
const weather = {
  type: 'client',
  name: 'get_weather',
  description: 'The weather of a city.',
  inputSchema: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
}

function reply(...chunks: [delta: Json, finish?: string | undefined, beside?: Json][]): Behaviour {
  const pieces = chunks.map(([delta, finish_reason = null, beside]) =>
    chatChunk([{ index: 0, delta, finish_reason }], beside),
  )
  return { headers: HEADERS, pieces: [...pieces, 'data: [DONE]\n\n'] }
}
const calling = (args: string) =>
  reply(
    [{ tool_calls: [{ index: 0, id: 'a', type: 'function', function: { name: 'get_weather', arguments: args } }] }],
    [{}, 'tool_calls'],
  )

onEveryDatabase('replies as they should not be', (kind) => {
  let server: RunningApp
  let provider: ProviderServer
  beforeAll(async () => {
    ;({ server, provider } = await startAppWithProvider(kind))
  })
  afterAll(() => server.close())
  beforeEach(() => {
    provider.requests.length = 0
  })

  const start = (tools: Json[] = []) => startWithTools(server, tools, {}, MODEL)
  const chat = (id: string) => server.call<Whole>('POST', `/conversations/${id}/chat`, { message: 'Well?' })
  const runOf = async (id: string, runId: string) =>
    (await server.call<Json>('GET', `/conversations/${id}/runs/${runId}`)).body

  test.each([
    ['that is cut', '{"city":"Be', 'the input is no JSON object: {\\"city\\":\\"Be'],
    ['that is empty where something must be there', '', 'the input is empty, and city must be there.'],
  ])('a call with an input %s is not made, and the model makes it again', async (_name, args, told) => {
    const id = await start([weather])
    provider.script([calling(args), calling('{"city":"Bern"}')])
    const { body } = await chat(id)
    expect(body.choices).toMatchObject([
      { finish_reason: 'tool_calls', message: { toolCalls: [{ name: 'get_weather', input: { city: 'Bern' } }] } },
    ])
    expect(provider.requests).toHaveLength(2)
    expect(JSON.stringify(provider.requests[1]?.body)).toContain(told)
  })

  test('a reply that its server gave up has failed, its text stays, and the next turn works', async () => {
    const id = await start()
    provider.script([reply([{ content: 'Half an' }], [{}, 'abort']), chatReply(['All', ' well'])])
    expect(await chat(id)).toMatchObject({ status: 502, body: { error: { code: 'provider_error' } } })
    expect((await chat(id)).body.choices).toMatchObject([{ finish_reason: 'stop', message: { content: 'All well' } }])
    const { chatMessages } = await readConversation(server, id)
    expect(chatMessages.map(({ content }) => content)).toEqual(['Well?', 'Half an', 'Well?', 'All well'])
  })

  test("an empty reply is asked for again, and the record has the provider's own word", async () => {
    const id = await start()
    provider.script([reply([{ role: 'assistant' }, 'stop']), reply([{ content: 'Here' }], [{}, 'eos'])])
    const { body } = await chat(id)
    expect(body.choices).toMatchObject([{ finish_reason: 'stop', message: { content: 'Here' } }])
    expect(await runOf(id, body.runId)).toMatchObject({
      attempts: [
        { outcome: 'failed', error: expect.stringMatching(/sent an empty reply$/), finishReason: null },
        { outcome: 'completed', finishReason: 'eos' },
      ],
    })
  })

  test('citations stand in the whole reply and in the last item, also when it is read again', async () => {
    const cited = reply([{ content: 'So it is' }, undefined, { citations: ['https://a.example'] }], [{}, 'stop'])
    const citations = [{ url: 'https://a.example' }]
    const id = await start()
    provider.script([cited, cited])
    expect((await chat(id)).body).toMatchObject({ citations })
    const streamed = await server.call('POST', `/conversations/${id}/chat-sse`, { message: 'Well?' })
    const last = JSON.parse(parseSse(streamed.text).at(-2)?.data ?? '') as Json
    expect(last).toMatchObject({ choice: { finish_reason: 'stop' }, citations })
    const again = await server.call('GET', `/conversations/${id}/runs/${String(last['runId'])}/events`)
    expect(again.text).toBe(streamed.text)
  })
})
