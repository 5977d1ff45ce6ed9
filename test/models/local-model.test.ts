import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { expectError, type Json, parseSse, type RunningApp, startApp } from '../support/app.ts'
import { databaseKinds } from '../support/databases.ts'
import { type HubServer, startHub } from '../support/hub-server.ts'
import { ALPHABET, makeTinyGguf } from '../support/tiny-gguf.ts'

/** The package weighs 700 MB, so it is installed by `npm run test:local` and not by everybody. */
const RUNTIME = join(import.meta.dirname, '../local-model')
const isThere = existsSync(join(RUNTIME, 'node_modules/node-llama-cpp'))

/** Of the template: `<system>…</system><user>…</user><assistant>`, a token for each character. */
const PROMPT = '<system>Be Ada.</system><user>Hi</user><assistant>'

const SCHEMA = {
  type: 'json_schema',
  json_schema: { name: 'one', schema: { type: 'object', properties: { letter: { type: 'string' } } } },
}

const POLL = { interval: 50 }

type Choice = { finish_reason: string | null; message: { content: string } }
type StreamItem = { choice: Choice }
type Reply = { choices: Choice[]; usage: { prompt_tokens: number; completion_tokens: number } }

describe.skipIf(!isThere)('a real local model (npm run test:local installs what it needs)', () => {
  let server: RunningApp
  let hub: HubServer
  let directory: string

  beforeAll(async () => {
    const [sqlite] = databaseKinds
    if (!sqlite) throw new Error('there is no database')
    directory = mkdtempSync(join(tmpdir(), 'dramatis-local-model-'))
    writeFileSync(join(directory, 'alphabet.gguf'), makeTinyGguf())
    writeFileSync(join(directory, 'endless.gguf'), makeTinyGguf({ isEndless: true, contextLength: 4_096 }))
    writeFileSync(join(directory, 'broken.gguf'), makeTinyGguf().subarray(0, 5_000))
    hub = await startHub()
    hub.files.set('maker/tiny/tiny-Q4_K_M.gguf', makeTinyGguf())
    server = await startApp(sqlite, {
      DRAMATIS_LOCAL_RUNTIME: RUNTIME,
      DRAMATIS_LOCAL_MODELS: [
        ...['alphabet', 'endless', 'broken'].map((name) => join(directory, `${name}.gguf`)),
        'hf:maker/tiny',
      ].join(),
      DRAMATIS_LOCAL_QUEUE: '1',
      DRAMATIS_LOCAL_THREADS: '1',
      HF_ENDPOINT: hub.url,
    })
  })
  afterAll(async () => {
    await server.close()
    await hub.close()
    rmSync(directory, { recursive: true })
  })

  let conversation = ''
  beforeEach(async () => {
    conversation = await converse('alphabet.gguf')
  })

  async function converse(model: string, personaConfiguration: Json = {}, text = 'Be Ada.'): Promise<string> {
    const persona = await server.call('POST', '/personas', {
      personaName: 'Ada',
      personaDescription: 'For tests',
      personaText: text,
      personaGreeting: '',
      aiSystem: 'local',
      model,
      personaConfiguration: { temperature: 0, ...personaConfiguration },
    })
    const begun = await server.call('POST', '/conversations/persona', { personaId: persona.body['personaId'] })
    if (begun.status !== 200) throw new Error(begun.text)
    return String(begun.body['conversationId'])
  }

  const chat = (id = conversation, message = 'Hi') =>
    server.call<Reply>('PATCH', `/conversations/${id}/chat`, { message })
  const stream = (id: string) => server.open('PATCH', `/conversations/${id}/chat-sse`, { message: 'Hi' })
  const cancel = (id: string, run: string | null) => server.call('POST', `/conversations/${id}/runs/${run}/cancel`)

  test('is listed, and is the default', async () => {
    const { body } = await server.call('GET', '/models')
    expect(body['default']).toEqual({
      aiSystem: 'local',
      model: 'alphabet.gguf',
      why: 'Local model with alphabet.gguf, because DRAMATIS_LOCAL_MODELS is set.',
    })
    const listing = (body['data'] as Json[]).find(({ aiSystem }) => aiSystem === 'local')
    const models = ['alphabet.gguf', 'endless.gguf', 'broken.gguf', 'hf:maker/tiny']
    expect(listing).toMatchObject({ isUsable: true, why: null, defaultModel: 'alphabet.gguf', models })
  })

  test('answers through its own template, and counts its tokens', async () => {
    const { body } = await chat()
    expect(body.choices[0]).toMatchObject({ finish_reason: 'stop', message: { content: ALPHABET } })
    // Each letter, and the end.
    expect(body.usage).toMatchObject({ prompt_tokens: PROMPT.length, completion_tokens: ALPHABET.length + 1 })
    const again = await chat()
    const more = `${ALPHABET}</assistant><user>Hi</user><assistant>`.length
    expect(again.body.usage).toMatchObject({ prompt_tokens: PROMPT.length + more })
  })

  test.each([
    ['stops before a text', { stop: 'mn' }, 'abcdefghijkl', 'stop'],
    ['stops after so many tokens', { maxTokens: 5 }, 'abcde', 'length'],
    ['samples', { temperature: 0.7, topP: 0.9, topK: 20, seed: -3, frequencyPenalty: 0.1 }, ALPHABET, 'stop'],
    ['writes JSON', { responseFormat: 'json', maxTokens: 10 }, expect.stringMatching(/^\s*[{["\d]/), 'length'],
    [
      'keeps to a schema',
      { responseFormat: SCHEMA, maxTokens: 40 },
      expect.stringMatching(/^\{\s*"letter": ?"\w+$/),
      'length',
    ],
  ])('%s', async (_what, configuration, content, finish_reason) => {
    const { body } = await chat(await converse('alphabet.gguf', configuration))
    expect(body.choices[0]).toMatchObject({ finish_reason, message: { content } })
  })

  test('writes until the context is full, and then refuses what does not fit any more', async () => {
    const id = await converse('alphabet.gguf', { stop: 'b' }, `${'x'.repeat(500)}`)
    // 512 tokens are not enough for the prompt.
    expectError(await chat(id), 'unprocessable_entity', 'The prompt has 543 tokens, and the context of 512')
    const { body } = await chat(await converse('alphabet.gguf', {}, 'x'.repeat(450)))
    const room = 512 - 8 - (450 + '<system></system><user>Hi</user><assistant>'.length)
    expect(body).toMatchObject({ choices: [{ finish_reason: 'length' }], usage: { completion_tokens: room } })
  })

  test('streams letter by letter, and stops when it is cancelled', async () => {
    const id = await converse('endless.gguf')
    const response = await stream(id)
    const run = response.headers.get('x-dramatis-run-id')
    expect((await cancel(id, run)).body).toMatchObject({ status: 'cancelled' })
    const items = parseSse(await response.text())
      .slice(0, -1)
      .map(({ data }) => JSON.parse(data) as StreamItem)
    expect(items.at(-1)?.choice.finish_reason).toBe('cancelled')
    const pieces = items.map(({ choice }) => choice.message.content)
    expect(ALPHABET.repeat(200).startsWith(pieces.join(''))).toBe(true)
    expect(pieces.slice(0, -1).every((piece) => piece.length === 1)).toBe(true)
  })

  test('writes one reply at a time, lets one wait, and sends others away', async () => {
    const [first, second, third] = await Promise.all([1, 2, 3].map(() => converse('endless.gguf', { maxTokens: 600 })))
    const running = await stream(first as string)
    const reader = running.body?.getReader()
    await reader?.read()
    const waiting = chat(second)
    const isInLine = async () => (await chat(third)).status
    await expect.poll(isInLine).toBe(503)
    const refused = await chat(third)
    expectError(refused, 'unavailable', 'The local model endless.gguf is busy, and its line of 1 is full')
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
    await cancel(first as string, running.headers.get('x-dramatis-run-id'))
    await reader?.cancel()
    expect((await waiting).body).toMatchObject({ usage: { completion_tokens: 600 } })
  })

  test('a file that is no model leaves the server alive', async () => {
    expectError(await chat(await converse('broken.gguf')), 'provider_error', 'broken.gguf cannot be loaded')
    expect((await chat()).status).toBe(200)
  })

  test('comes from the hub when it is first wanted', async () => {
    const id = await converse('hf:maker/tiny')
    const first = await chat(id)
    expectError(first, 'unavailable', 'hf:maker/tiny is being downloaded')
    expect(first.headers.get('retry-after')).toBe('30')
    await expect.poll(async () => (await chat(id)).body.choices?.[0]?.message.content, POLL).toBe(ALPHABET)
    expect(server.logged.map(({ msg }) => msg)).toContain('downloading hf:maker/tiny: 100 % (0.5 of 0.5 MB)')
  })
})
