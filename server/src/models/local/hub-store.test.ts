import { randomBytes } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Agent } from 'undici'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { type HubServer, startHub } from '../../../../test/support/hub-server.ts'
import { createHubStore, type HubSource, type Progress } from './hub-store.ts'
import { parseLocalSource } from './local-settings.ts'

const SOURCE = parseLocalSource('hf:maker/model') as HubSource
const FILE = 'maker/model/model-Q4_K_M.gguf'
const BYTES = randomBytes(300_000)
const dispatcher = new Agent()
const never = new AbortController().signal

let hub: HubServer
let directory: string
let progress: Progress[]

beforeAll(async () => {
  hub = await startHub()
})
afterAll(async () => {
  await dispatcher.destroy()
  await hub.close()
})
beforeEach(() => {
  hub.files.clear()
  hub.wrongChecksums.clear()
  Object.assign(hub, { requests: [], cuts: [], ignoresRanges: false })
  hub.files.set(FILE, BYTES)
  directory = mkdtempSync(join(tmpdir(), 'dramatis-hub-'))
  progress = []
})
afterEach(() => rmSync(directory, { recursive: true }))

function storeWith(hubToken: string | null = null) {
  const settings = { directory, hubUrl: hub.url, hubToken }
  return createHubStore({ settings, dispatcher, onProgress: (one) => progress.push(one), pauseMs: 1 })
}

const folder = () => join(directory, 'hf/maker/model')

test('a model is downloaded once', async () => {
  const store = storeWith('hf_token')
  expect(await store.find(SOURCE)).toBeNull()
  const path = await store.fetch(SOURCE, never)
  expect(readFileSync(path).equals(BYTES)).toBe(true)
  expect(progress.at(-1)).toEqual({ id: SOURCE.id, received: BYTES.length, total: BYTES.length })
  expect(hub.requests.map(({ headers }) => headers.authorization)).toEqual(['Bearer hf_token', 'Bearer hf_token'])
  // Another start, and nobody is asked.
  expect(await storeWith().find(SOURCE)).toBe(path)
  expect(hub.requests).toHaveLength(2)
  expect(readdirSync(folder()).toSorted()).toEqual(['default.json', 'model-Q4_K_M.gguf'])
})

test('a model of which a piece is gone is downloaded again', async () => {
  const path = await storeWith().fetch(SOURCE, never)
  writeFileSync(path, BYTES.subarray(5))
  expect(await storeWith().find(SOURCE)).toBeNull()
  await storeWith().fetch(SOURCE, never)
  expect(readFileSync(path).equals(BYTES)).toBe(true)
})

// Tried again, because a busy machine may not have read anything when the connection breaks.
test('a broken connection is continued where it broke', { retry: 3 }, async () => {
  hub.requests.length = 0
  hub.cuts = [100_000, 50_000]
  expect(readFileSync(await storeWith().fetch(SOURCE, never)).equals(BYTES)).toBe(true)
  const ranges = hub.requests.slice(1).map(({ headers }) => headers.range)
  expect(ranges).toEqual([undefined, expect.stringMatching(/^bytes=\d+-$/), expect.stringMatching(/^bytes=\d+-$/)])
})

test('what an earlier start has left is continued', { retry: 3 }, async () => {
  hub.cuts = [200_000, 0, 0, 0, 0, 0]
  await expect(storeWith().fetch(SOURCE, never)).rejects.toThrow('the hub breaks the connection off')
  expect(readdirSync(folder())).toEqual([expect.stringMatching(/^model-Q4_K_M\.gguf\.[0-9a-f]{12}\.part$/)])
  hub.requests.length = 0
  expect(readFileSync(await storeWith().fetch(SOURCE, never)).equals(BYTES)).toBe(true)
  expect(Number(/\d+/.exec(hub.requests[1]?.headers.range ?? '')?.[0])).toBeGreaterThan(0)
})

test('a hub without ranges sends everything again', async () => {
  Object.assign(hub, { cuts: [100_000], ignoresRanges: true })
  expect(readFileSync(await storeWith().fetch(SOURCE, never)).equals(BYTES)).toBe(true)
})

test('a wrong checksum leaves nothing behind', async () => {
  hub.wrongChecksums.set(FILE, '0'.repeat(64))
  await expect(storeWith().fetch(SOURCE, never)).rejects.toThrow('its checksum is not the one that the hub names')
  expect(readdirSync(folder())).toEqual([])
  expect(await storeWith().find(SOURCE)).toBeNull()
})

test('a model in parts is whole when all of them are', async () => {
  hub.files.clear()
  const parts = ['maker/model/q/m-Q4_K_M-00001-of-00002.gguf', 'maker/model/q/m-Q4_K_M-00002-of-00002.gguf']
  for (const part of parts) hub.files.set(part, BYTES)
  const path = await storeWith().fetch(SOURCE, never)
  expect(path).toBe(join(folder(), 'm-Q4_K_M-00001-of-00002.gguf'))
  expect(progress.at(-1)).toMatchObject({ received: 600_000, total: 600_000 })
  expect(await storeWith().find(SOURCE)).toBe(path)
  rmSync(join(folder(), 'm-Q4_K_M-00002-of-00002.gguf'))
  expect(await storeWith().find(SOURCE)).toBeNull()
})

test.each([
  ['hf:maker/unknown', 'the hub answers 401: there is no such repository, or it needs a token (HF_TOKEN)'],
  ['hf:maker/model:Q8_0', 'the repository has no complete Q8_0; it has Q4_K_M'],
])('%s cannot be had', async (id, message) => {
  await expect(storeWith().fetch(parseLocalSource(id) as HubSource, never)).rejects.toThrow(message)
})

test('a hub that does not answer is named', async () => {
  const settings = { directory, hubUrl: 'http://127.0.0.1:9', hubToken: null }
  const store = createHubStore({ settings, dispatcher, onProgress: () => {} })
  await expect(store.fetch(SOURCE, never)).rejects.toThrow(/^the hub cannot be asked \(.+\)$/)
})

test('a server that stops does not wait for the rest', async () => {
  const stopping = new AbortController()
  const gate = Promise.withResolvers<void>()
  hub.gate = gate.promise
  const fetching = storeWith().fetch(SOURCE, stopping.signal)
  await expect.poll(() => hub.requests.length).toBe(2)
  stopping.abort()
  await expect(fetching).rejects.toThrow('the server is stopping')
  gate.resolve()
})
