import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { beforeAll, expect, test } from 'vitest'

/*
 * What a server loads before anybody has asked for anything is what every start waits for and what an idle server
 * keeps: a file costs about 0.2 ms and 20 KB. So this counts files, which is the same on every machine.
 */

const ROOT = join(import.meta.dirname, '../..')
const ENTRY = join(ROOT, 'server/bin/dramatis.js')
const RECORDER = pathToFileURL(join(import.meta.dirname, '../support/record-modules.js'))

type Loaded = { modules: string[]; builtins: string[] }

/** Starts a server with the defaults on a new folder, stops it as soon as it listens, and says what each thread loaded. */
async function loadedByStart(): Promise<Loaded[]> {
  const folder = mkdtempSync(join(tmpdir(), 'dramatis-test-'))
  try {
    const recorder = `${RECORDER}?to=${encodeURIComponent(folder)}`
    const server = spawn(process.execPath, ['--import', recorder, ENTRY, 'start'], {
      // Nothing but what keeps it from the port and the Ollama of whoever runs the tests.
      env: { PATH: process.env['PATH'], PORT: '0', DRAMATIS_DATA_DIR: folder, OLLAMA_HOST: 'http://127.0.0.1:9' },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let output = ''
    for await (const text of server.stdout.setEncoding('utf8')) {
      const wasUp = isUp(output)
      output += text
      if (isUp(output) && !wasUp) server.kill('SIGTERM')
    }
    if (server.exitCode === null) await once(server, 'exit')
    expect(server.exitCode).toBe(0)
    const records = readdirSync(folder).filter((name) => /^\d+\.json$/.test(name))
    return records.toSorted().map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')) as Loaded)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** It is the last line of what a start says. */
const isUp = (output: string) => output.includes('npx dramatis chat')

/** Files, by the package or the folder of ours that they are in. */
function countsOf({ modules }: Loaded): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const url of modules.filter((url) => url.startsWith('file:') && !url.startsWith(RECORDER.href))) {
    const [, name = 'dramatis'] = /\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url) ?? []
    counts[name] = (counts[name] ?? 0) + 1
  }
  return counts
}

let main: Loaded
let threads: Loaded[]

beforeAll(async () => {
  // The first one fills the cache of compiled code, if nobody has yet.
  await loadedByStart()
  const [first, ...others] = await loadedByStart()
  if (!first) throw new Error('the server has recorded nothing')
  main = first
  threads = others
})

test('what is for requests, for other databases, for tools and for hosted models waits until it is needed', () => {
  const packages = Object.keys(countsOf(main))
  const early = packages.filter((name) => /^(@ai-sdk|@modelcontextprotocol)\//.test(name))
  expect(early).toEqual([])
  expect(packages).not.toContain('ajv')
  expect(packages).not.toContain('pg')
  expect(packages).not.toContain('typebox')
  expect(packages).not.toContain('yaml')
  expect(packages).not.toContain('@fastify/swagger')
  expect(packages).not.toContain('@fastify/swagger-ui')
  expect(packages).not.toContain('@fastify/cors')
  expect(packages).not.toContain('@opentelemetry/api')
})

test('of large packages only the parts that are used', () => {
  const counts = countsOf(main)
  expect(counts['undici']).toBeLessThanOrEqual(30)
  expect(counts['prom-client']).toBeLessThanOrEqual(10)
  expect(counts['fast-json-stringify']).toBeLessThanOrEqual(2)
})

test('all together are not many files', () => {
  const counts = countsOf(main)
  const all = Object.values(counts).reduce((sum, count) => sum + count, 0)
  expect(all, JSON.stringify(counts)).toBeLessThanOrEqual(820)
})

test('the only other thread is the one that writes, which loads next to nothing', () => {
  expect(threads.map(countsOf)).toEqual([{ dramatis: expect.toSatisfy((count: number) => count <= 10) }])
  expect(threads[0]?.modules.find((url) => url.endsWith('/sqlite/writer.ts'))).toBeDefined()
})

test('with compiled code in the cache no thread loads the compiler that strips types, nor a second client for HTTP', () => {
  for (const { builtins } of [main, ...threads]) {
    expect(builtins.filter((name) => /internal\/deps\/(amaro|undici)\//.test(name))).toEqual([])
  }
})
