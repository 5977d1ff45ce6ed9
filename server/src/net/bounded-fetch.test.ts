import { brotliCompressSync, gzipSync } from 'node:zlib'
import { Agent } from 'undici'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startToolServer, type ToolServer } from '../../../test/support/tool-server.ts'
import { AnswerTooLarge, createBoundedFetch } from './bounded-fetch.ts'

const MOST = 100_000
let server: ToolServer
const dispatcher = new Agent()
const tooLarge: AnswerTooLarge[] = []
let requests = 0
let fetch: typeof globalThis.fetch

beforeAll(async () => {
  server = await startToolServer()
  fetch = await createBoundedFetch({
    dispatcher,
    mostBytes: MOST,
    onTooLarge: (error) => tooLarge.push(error),
    onRequest: () => {
      if (++requests > 100) throw new Error('too many')
    },
  })
})
afterAll(async () => {
  await dispatcher.destroy()
  await server.close()
})

const zeros = Buffer.alloc(64 * 1_048_576)
const bombs: Record<string, [string, Buffer]> = {
  gzip: ['gzip', gzipSync(zeros)],
  br: ['br', brotliCompressSync(zeros)],
  twice: ['gzip, gzip', gzipSync(gzipSync(zeros))],
}

test.each(Object.keys(bombs))('unpacks no more of a bomb (%s) than it may', async (name) => {
  const [encoding, bytes] = bombs[name] as [string, Buffer]
  server.on(`/${name}`, (_request, response) => response.setHeader('content-encoding', encoding).end(bytes))
  const before = tooLarge.length
  const answer = await fetch(`${server.url}/${name}`)
  let read = 0
  const reading = (async () => {
    for await (const piece of answer.body as unknown as AsyncIterable<Uint8Array>) read += piece.byteLength
  })()
  await expect(reading).rejects.toBeInstanceOf(AnswerTooLarge)
  expect(read).toBeLessThanOrEqual(MOST)
  expect(tooLarge).toHaveLength(before + 1)
})

test('gives what is no larger than it may be, packed or not', async () => {
  const text = 'x'.repeat(MOST)
  server.on('/fits', (_request, response) => response.setHeader('content-encoding', 'gzip').end(gzipSync(text)))
  server.on('/plain', (_request, response) => response.writeHead(201, { 'x-a': 'b' }).end(text))
  server.on('/nothing', (_request, response) => response.writeHead(204).end())
  expect(await (await fetch(`${server.url}/fits`)).text()).toBe(text)
  const plain = await fetch(`${server.url}/plain`)
  expect([plain.status, plain.headers.get('x-a'), (await plain.text()).length]).toEqual([201, 'b', MOST])
  expect((await fetch(`${server.url}/nothing`)).status).toBe(204)
})

test('follows no redirect, and asks before each request', async () => {
  server.on('/away', (_request, response) => response.writeHead(307, { location: '/end' }).end())
  server.requests.length = 0
  await expect(fetch(`${server.url}/away`)).rejects.toThrow()
  expect(server.requests.map(({ path }) => path)).toEqual(['/away'])
  requests = 100
  await expect(fetch(`${server.url}/end`)).rejects.toThrow('too many')
  expect(server.requests).toHaveLength(1)
})
