import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Agent } from 'undici'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type FakeRuntime, installFakeRuntime } from '../../../../test/support/fake-runtime.ts'
import { type HubServer, startHub } from '../../../../test/support/hub-server.ts'
import type { ModelRequest } from '../model.ts'
import { readProviderSettings } from '../providers/provider-settings.ts'
import { createLocalModels, type LocalModels } from './local-models.ts'
import { findObstacle } from './runtime.ts'

const dispatcher = new Agent()
const shared = globalThis as { fakeRuntime?: FakeRuntime }
let hub: HubServer
let folder: string
let file: string
let runtime: FakeRuntime
let models: LocalModels

beforeAll(async () => {
  hub = await startHub()
  folder = mkdtempSync(join(tmpdir(), 'dramatis-local-'))
  file = join(folder, 'mine.gguf')
  writeFileSync(file, 'a model')
  installFakeRuntime(folder)
})
afterAll(async () => {
  await dispatcher.destroy()
  await hub.close()
  rmSync(folder, { recursive: true })
})
beforeEach(() => {
  runtime = { events: [], beforeWord: () => Promise.resolve(), loadErrors: [] }
  shared.fakeRuntime = runtime
})
afterEach(() => models.close())

function localModels(env: Record<string, string> = {}): LocalModels {
  const settings = readProviderSettings(
    { DRAMATIS_LOCAL_MODELS: file, DRAMATIS_LOCAL_RUNTIME: folder, HF_ENDPOINT: hub.url, ...env },
    folder,
  ).local
  models = createLocalModels({ settings, dispatcher, onProgress: () => {}, pauseMs: 1 })
  return models
}

function requestOf(more: Partial<ModelRequest> = {}): ModelRequest {
  const signal = new AbortController().signal
  return { system: 'Be brief.', messages: [{ role: 'user', content: 'Hi' }], settings: {}, attempt: 0, signal, ...more }
}

async function ask(id = 'mine.gguf', more: Partial<ModelRequest> = {}) {
  let text = ''
  const result = await models.open(id).generate(requestOf(more), (piece) => {
    text += piece
  })
  return { text, ...result }
}

/** Holds every reply before its first word until the answer is called. */
function hold(): () => void {
  const { promise, resolve } = Promise.withResolvers<void>()
  runtime.beforeWord = () => promise
  return resolve
}

test('without the package it is said how to get it', () => {
  const nothing = join(folder, 'nothing')
  localModels({ DRAMATIS_LOCAL_RUNTIME: nothing })
  const why = expect.stringMatching(/^The package node-llama-cpp is not installed: install it with "npm /)
  const whyInside = expect.stringMatching(/^The package node-llama-cpp is not installed in .*nothing: install it with/)
  expect(findObstacle(nothing)).toMatchObject({ why, whyInside })
  expect(() => models.open('mine.gguf')).toThrow(expect.objectContaining({ kind: 'not_configured', message: why }))
})

test('a package of another generation is refused', () => {
  const old = join(folder, 'old')
  installFakeRuntime(old, '2.8.0')
  expect(findObstacle(old)?.why).toContain('is there in version 2.8.0')
})

test('only what is named can be opened', () => {
  localModels()
  for (const id of ['other.gguf', file, 'hf:maker/model', '/etc/passwd']) {
    expect(() => models.open(id)).toThrow(`There is no local model "${id}"`)
  }
})

test('a file that is gone is named without its folder', async () => {
  localModels({ DRAMATIS_LOCAL_MODELS: join(folder, 'gone.gguf') })
  const message = 'The file of the local model gone.gguf is not there'
  await expect(ask('gone.gguf')).rejects.toMatchObject({ kind: 'not_configured', message })
})

describe('a reply', () => {
  test('is streamed and counted', async () => {
    localModels()
    const usage = { promptTokens: 3, completionTokens: 3 }
    expect(await ask()).toEqual({ text: 'one two three ', finishReason: 'stop', usage })
    expect(await ask('mine.gguf', { settings: { maxTokens: 2 } })).toMatchObject({ finishReason: 'length' })
    expect(runtime.events).toEqual([`load ${file}`])
  })

  test('that does not fit is refused', async () => {
    localModels()
    const content = 'word '.repeat(95)
    const asked = ask('mine.gguf', { messages: [{ role: 'user', content }] })
    const message = 'The prompt has 97 tokens, and the context of 100 is too small for it'
    await expect(asked).rejects.toMatchObject({ kind: 'refused', message })
  })

  test('with tools is refused, unless they are only named', async () => {
    localModels()
    const tools = [{ name: 'f', description: '', inputSchema: {} }]
    await expect(ask('mine.gguf', { tools })).rejects.toMatchObject({ kind: 'refused' })
    expect(await ask('mine.gguf', { tools, mustAnswer: true })).toMatchObject({ finishReason: 'stop' })
  })

  test('can be cancelled, and the next one begins', async () => {
    localModels()
    const go = hold()
    const cancel = new AbortController()
    const first = ask('mine.gguf', { signal: cancel.signal })
    const second = ask()
    cancel.abort()
    go()
    await expect(first).rejects.toMatchObject({ kind: 'aborted' })
    expect(await second).toMatchObject({ text: 'one two three ' })
  })

  test('of a file that is no model says what the runtime says', async () => {
    localModels()
    runtime.loadErrors = [new Error(`no model in ${file}`)]
    const message = 'The local model mine.gguf cannot be loaded: no model in mine.gguf'
    await expect(ask()).rejects.toMatchObject({ kind: 'failed', retryable: false, message })
    expect(await ask()).toMatchObject({ finishReason: 'stop' })
  })
})

test('replies of one model come one after the other, and no more than may wait', async () => {
  localModels({ DRAMATIS_LOCAL_QUEUE: '1' })
  const go = hold()
  const asked = [ask(), ask()]
  await expect.poll(() => runtime.events.length).toBe(1)
  await expect(ask()).rejects.toMatchObject({
    kind: 'unavailable',
    message: 'The local model mine.gguf is busy, and its line of 1 is full',
    retryAfterMs: 10_000,
  })
  go()
  expect((await Promise.all(asked)).map(({ text }) => text)).toEqual(['one two three ', 'one two three '])
})

test('a model that nobody uses leaves the memory, and comes back', async () => {
  localModels({ DRAMATIS_LOCAL_IDLE_MS: '1000' })
  await ask()
  expect(models.loaded()).toEqual(['mine.gguf'])
  await expect.poll(() => runtime.events).toEqual([`load ${file}`, `dispose ${file}`])
  expect(models.loaded()).toEqual([])
  expect(await ask()).toMatchObject({ text: 'one two three ' })
})

test('closing ends what runs and frees the memory', async () => {
  localModels()
  const go = hold()
  const asked = ask()
  asked.catch(() => {})
  await expect.poll(() => runtime.events.length).toBe(1)
  const closed = models.close()
  go()
  await expect(asked).rejects.toMatchObject({ kind: 'unavailable', message: 'The server is stopping' })
  await closed
  expect(runtime.events).toEqual([`load ${file}`, `dispose ${file}`, 'dispose llama'])
})

test('where memory is short, a model that nobody uses makes room', async () => {
  class InsufficientMemoryError extends Error {}
  const other = join(folder, 'other.gguf')
  writeFileSync(other, 'another model')
  localModels({ DRAMATIS_LOCAL_MODELS: `${file},${other}` })
  await ask()
  runtime.loadErrors = [new InsufficientMemoryError()]
  expect(await ask('other.gguf')).toMatchObject({ text: 'one two three ' })
  expect(runtime.events).toEqual([`load ${file}`, `dispose ${file}`, `load ${other}`])
})

describe('a model of the hub', () => {
  const env = { DRAMATIS_LOCAL_MODELS: 'hf:maker/one' }

  test('is downloaded behind the requests, which are told to come back', async () => {
    hub.files.set('maker/one/one-Q4_K_M.gguf', randomBytes(1_000))
    const gate = Promise.withResolvers<void>()
    hub.gate = gate.promise
    localModels(env)
    await models.prepare('hf:maker/one')
    await expect(ask('hf:maker/one')).rejects.toMatchObject({
      kind: 'unavailable',
      message: 'hf:maker/one is being downloaded (0 %)',
      retryAfterMs: 30_000,
    })
    gate.resolve()
    await expect.poll(() => ask('hf:maker/one').catch(() => null)).toMatchObject({ text: 'one two three ' })
    expect(hub.requests.filter(({ path }) => path.endsWith('.gguf'))).toHaveLength(1)
  })

  test('that is not there says so', async () => {
    localModels({ DRAMATIS_LOCAL_MODELS: 'hf:maker/nothing' })
    const message = /^hf:maker\/nothing cannot be downloaded: the hub answers 401: /
    await expect
      .poll(() => ask('hf:maker/nothing').catch((error: unknown) => error))
      .toMatchObject({ kind: 'failed', message: expect.stringMatching(message) })
  })
})
