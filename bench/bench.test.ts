import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type LoadProcess, startLoad } from './load-process.ts'
import { useOfTree } from './process-tree.ts'
import { type ProviderProcess, startProvider } from './provider-process.ts'
import { floor } from './servers/floor.ts'
import type { Running } from './servers/server.ts'
import { TOKENS } from './wire/openai-reply.ts'

/** The benchmark for real, for a moment: that what it measures with works, not how fast anything is. */
const directory = mkdtempSync(join(tmpdir(), 'dramatis-bench-test-'))
let provider: ProviderProcess
let server: Running
let load: LoadProcess

beforeAll(async () => {
  provider = await startProvider()
  const place = await floor.prepare({ providerUrl: provider.url, directory })
  server = await place.start({ until: 'first turn' })
  load = startLoad(server.wire)
})
afterAll(async () => {
  await load.stop()
  await server.stop()
  await provider.stop()
  rmSync(directory, { recursive: true, force: true })
})

test('turns go from the load generator through the floor to the provider and back, all of them right', async () => {
  const events: string[] = []
  const job = { kind: 'turns', users: 4, warmMs: 50, ms: 150 } as const
  const measured = await load.do(job, { onMeasuring: () => void events.push('measuring') })
  expect(measured).toMatchObject({ errors: 0, firstError: null })
  expect(measured.count).toBeGreaterThan(0)
  expect(measured.first?.p50).toBeLessThanOrEqual(measured.total.max)
  expect(events).toEqual(['measuring'])
})

test('conversations are made, long talks are sent whole, fresh connections are answered', async () => {
  expect(await load.do({ kind: 'create', users: 2, warmMs: 10, ms: 50 })).toMatchObject({ errors: 0 })
  const talk = await server.talk(1_000, 'whole', 2)
  if (talk === null) throw new Error('the floor has this')
  expect(await load.do({ kind: 'history', ...talk, turns: 3 })).toMatchObject({ errors: 0, count: 3 })
  // With the system message and the new one.
  expect((await provider.lastRequest()).messages).toBe(1_002)
  expect(await load.do({ kind: 'probe', everyMs: 5, ms: 20 })).toMatchObject({ errors: 0, count: 4 })
})

test('streams stay open while the provider is slow', async () => {
  provider.pace(20)
  const slow = startLoad(server.wire)
  expect(await slow.do({ kind: 'streams', count: 10, marks: 2 })).toMatchObject({ errors: 0, count: 10 })
  await slow.stop()
  provider.pace(0)
})

test('a wrong answer fails', async () => {
  const wrongNumber = startLoad({ ...server.wire, marks: TOKENS + 1 })
  const counted = await wrongNumber.do({ kind: 'turns', users: 1, warmMs: 0, ms: 20 })
  expect(counted).toMatchObject({ count: 0, firstError: expect.stringContaining('40 tokens instead of 41') })
  await wrongNumber.stop()
  const wrongEnd = startLoad({ ...server.wire, ending: 'the end' })
  const ended = await wrongEnd.do({ kind: 'turns', users: 1, warmMs: 0, ms: 20 })
  expect(ended).toMatchObject({ count: 0, firstError: expect.stringContaining('does not end as it should') })
  await wrongEnd.stop()
})

test.skipIf(process.platform !== 'linux')('what a process uses is found', () => {
  const { cpuMs, rssMiB } = useOfTree(server.pid)
  expect(cpuMs).toBeGreaterThan(0)
  expect(rssMiB).toBeGreaterThan(20)
  expect(useOfTree(2 ** 30)).toEqual({ cpuMs: 0, rssMiB: 0 })
})
