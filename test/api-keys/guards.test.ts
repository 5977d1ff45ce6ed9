import { createHook } from 'node:async_hooks'
import { statSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { DatabaseSync } from 'node:sqlite'
import { Worker } from 'node:worker_threads'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { createMerger } from '../../server/src/storage/postgres/merge.ts'
import { type Json, parseSse, type RunningApp, serve } from '../support/app.ts'
import { createLong } from '../support/archive.ts'
import { type DatabaseKind, databaseKinds, onEveryDatabase, type TestDatabase } from '../support/databases.ts'
import { type Behaviour, chatReply, type ProviderServer, startProviderServer } from '../support/provider-server.ts'
import { messagesRead, type Traffic, tableOf, watchDatabase } from '../support/watch-database.ts'

/*
 * What a turn costs, in counts that are the same on every machine. Who changes one of these numbers has changed how fast
 * the server is, and should have meant to.
 */

const TOKENS = Array.from({ length: 40 }, (_, n) => ` word${n}`)
/** Long enough for the server to do nothing by itself while a turn is watched. */
const QUIET = { DRAMATIS_LEASE_MS: '600000' }

/** A reply whose tokens arrive in one piece. */
function inOnePiece(tokens: readonly string[] = TOKENS): Behaviour {
  const reply = chatReply(tokens)
  return { ...reply, pieces: [(reply.pieces ?? []).join('')] }
}

function settings(provider: ProviderServer) {
  return { ...QUIET, OPENAI_COMPATIBLE_BASE_URL: `${provider.url}/v1` }
}

/** A conversation with as many messages before it. */
async function startTalk(server: RunningApp, messages = 0, configuration: Json = {}): Promise<string> {
  const model = { aiSystem: 'openai-compatible', model: 'm' }
  return (await createLong(server, messages, { ...model, configuration })).conversationId
}

async function stream(server: RunningApp, id: string): Promise<string> {
  const answer = await server.call('POST', `/conversations/${id}/chat-sse`, { message: 'Hello, how are you?' })
  expect(answer.status).toBe(200)
  return answer.text
}

/** The tables that were written and read. That a key was used is noted once a minute, beside whatever goes on. */
const shapeOf = ({ batches, reads }: Traffic) => ({
  batches: batches.map((batch) => batch.map(tableOf)).filter(([table]) => table !== 'api_key'),
  reads: reads.map(tableOf),
})

onEveryDatabase('what a turn costs', (kind) => {
  let place: TestDatabase
  let provider: ProviderServer
  let server: RunningApp
  beforeAll(async () => {
    provider = await startProviderServer()
    place = await kind.create()
    server = await serve(place, settings(provider))
  })
  beforeEach(() => {
    provider.always(inOnePiece())
  })
  afterAll(async () => {
    await server.close()
    await provider.close()
    await place.remove()
  })

  const ACCEPT = ['conversation', 'message', 'running_turn', 'run']
  const CHUNK = ['run_chunk']
  const END = ['conversation', 'message', 'running_turn', 'run', 'run_chunk']

  test('two batches and one read, when it goes on with a talk and the reply comes whole', async () => {
    const id = await startTalk(server)
    await stream(server, id)
    for (let n = 0; n < 3; n++) {
      const traffic = await watchDatabase(server, () => stream(server, id))
      expect(shapeOf(traffic)).toEqual({ batches: [ACCEPT, END], reads: ['api_key'] })
    }
  })

  test('the same for a reply that is not streamed', async () => {
    const id = await startTalk(server)
    await stream(server, id)
    const traffic = await watchDatabase(server, () =>
      server.call('PATCH', `/conversations/${id}/chat`, { message: 'Hi' }),
    )
    expect(shapeOf(traffic)).toEqual({ batches: [ACCEPT, END], reads: ['api_key'] })
  })

  test('one read more when it is the first', async () => {
    const id = await startTalk(server)
    const traffic = await watchDatabase(server, () => stream(server, id))
    expect(shapeOf(traffic)).toEqual({ batches: [ACCEPT, END], reads: ['api_key', 'conversation'] })
  })

  test('none more when it begins the conversation', async () => {
    const first = { aiSystem: 'openai-compatible', model: 'm', systemMessage: 'Be kind.', message: 'Hi', stream: true }
    const traffic = await watchDatabase(server, () => server.call('POST', '/conversations', first))
    const begin = ['conversation', 'message', ...ACCEPT]
    expect(shapeOf(traffic)).toEqual({ batches: [begin, END], reads: ['api_key'] })
  })

  test('each batch is one statement to PostgreSQL', async () => {
    const id = await startTalk(server)
    await stream(server, id)
    const { batches } = await watchDatabase(server, () => stream(server, id))
    expect(batches.map((batch) => createMerger()(batch).length)).toEqual([1, 1])
  })

  test('no more batches than tokens when these come one by one', async () => {
    const id = await startTalk(server)
    provider.always(chatReply(TOKENS))
    const { batches } = await watchDatabase(server, () => stream(server, id))
    // Far fewer in fact, but how many depends on how fast the machine commits.
    expect(batches.length).toBeLessThanOrEqual(TOKENS.length + 2)
    for (const batch of batches.slice(1, -1)) expect(batch.map(tableOf)).toEqual(CHUNK)
  })

  test('no more batches when runs go on at the same time', async () => {
    const ids = await Promise.all(Array.from({ length: 16 }, () => startTalk(server)))
    const { batches } = await watchDatabase(server, () => Promise.all(ids.map((id) => stream(server, id))))
    expect(batches.length).toBeLessThanOrEqual(2 * ids.length)
    const chunks = batches.flat().filter(({ sql }) => sql.startsWith('insert into "run_chunk"'))
    expect(chunks.length).toBeLessThanOrEqual(ids.length)
  })

  test('a reply that came in one piece goes out in one write', async () => {
    const id = await startTalk(server)
    const writes = await countWrites(server, async () => {
      expect(parseSse(await stream(server, id))).toHaveLength(TOKENS.length + 2)
    })
    expect(writes).toEqual(['end'])
  })

  test('a reply in pieces takes no more writes than commits', async () => {
    const id = await startTalk(server)
    provider.always(chatReply(TOKENS))
    let writes: string[] = []
    const { batches } = await watchDatabase(server, async () => {
      writes = await countWrites(server, () => stream(server, id))
    })
    expect(writes.length).toBeLessThanOrEqual(batches.length)
    expect(writes.at(-1)).toBe('end')
  })

  test('a talk of 5,000 messages is read as far as the window goes, and then no more', async () => {
    const id = await startTalk(server, 5_000, { contextWindow: 1_024, maxTokens: 200 })
    const first = await watchDatabase(server, () => stream(server, id))
    expect(shapeOf(first).reads).toEqual(['api_key', 'conversation', 'message', 'message'])
    expect(messagesRead(first)).toEqual([64, 256])
    const second = await watchDatabase(server, () => stream(server, id))
    expect(messagesRead(second)).toEqual([])
    expect(shapeOf(second).batches).toEqual([ACCEPT, END])
  })

  test('a talk of 1,000 messages that is sent as a whole is read once', async () => {
    const id = await startTalk(server, 1_000)
    // Each page begins with the last message of the one before.
    expect(messagesRead(await watchDatabase(server, () => stream(server, id)))).toEqual([64, 256, 683])
    expect(messagesRead(await watchDatabase(server, () => stream(server, id)))).toEqual([])
    const [request] = provider.requests.slice(-1)
    expect((request?.body as { messages: Json[] } | undefined)?.messages.length).toBeGreaterThan(1_000)
  })
})

describe('what a turn costs on the file and the threads of SQLite', () => {
  let place: TestDatabase
  let provider: ProviderServer
  let server: RunningApp
  let file: DatabaseSync
  beforeAll(async () => {
    provider = await startProviderServer()
    provider.always(inOnePiece())
    place = await (databaseKinds.find(({ name }) => name === 'sqlite') as DatabaseKind).create()
    server = await serve(place, settings(provider))
    file = new DatabaseSync(fileOf(place))
    await server.call('GET', '/personas')
  })
  afterEach(() => {
    vi.restoreAllMocks()
  })
  afterAll(async () => {
    file.close()
    await server.close()
    await provider.close()
    await place.remove()
  })

  /** Frames that a piece of work adds to the write-ahead log: each is a page of 4 KiB. */
  async function framesOf(work: () => Promise<unknown>): Promise<number> {
    expect(file.prepare('pragma wal_checkpoint(truncate)').get()).toMatchObject({ busy: 0 })
    await work()
    const pageBytes = Number(file.prepare('pragma page_size').get()?.['page_size'])
    return (statSync(`${fileOf(place)}-wal`).size - WAL_HEADER_BYTES) / (FRAME_HEADER_BYTES + pageBytes)
  }

  test.each([10, 1_000, 5_000])('few pages are written, also behind %i messages', async (messages) => {
    const id = await startTalk(server, messages, { contextWindow: 2_048, maxTokens: 200 })
    await stream(server, id)
    const frames: number[] = []
    for (let n = 0; n < 12; n++) frames.push(await framesOf(() => stream(server, id)))
    // Four tables when it is accepted, and the same when it ends; and now and then a page is split.
    expect(Math.min(...frames)).toBe(8)
    const sorted = frames.toSorted((a, b) => a - b)
    expect(sorted[frames.length / 2], `${frames}`).toBeLessThanOrEqual(13)
    expect(sorted.at(-1), `${frames}`).toBeLessThanOrEqual(24)
  })

  test('one message crosses to the thread that writes for each batch, and one comes back', async () => {
    const id = await startTalk(server)
    await stream(server, id)
    const posted = vi.spyOn(Worker.prototype, 'postMessage')
    await stream(server, id)
    expect(posted).toHaveBeenCalledTimes(2)
    // No text of a statement crosses again: some hundred characters each, and one value for each parameter.
    for (const [message] of posted.mock.calls) expect((message as { texts: string[] }).texts).toEqual([])
  })

  test('batches of many turns cross together', async () => {
    const ids = await Promise.all(Array.from({ length: 16 }, () => startTalk(server)))
    const posted = vi.spyOn(Worker.prototype, 'postMessage')
    await Promise.all(ids.map((id) => stream(server, id)))
    expect(posted.mock.calls.length).toBeLessThan(2 * ids.length)
  })

  test('no timer is made for a token', async () => {
    const timersOf = async (tokens: number) => {
      const id = await startTalk(server)
      await stream(server, id)
      provider.always(chatReply(Array.from({ length: tokens }, (_, n) => ` ${n}`)))
      return countTimers(() => stream(server, id))
    }
    await timersOf(5)
    const few = await timersOf(5)
    const many = await timersOf(205)
    // What waits for the provider and for the reader, and what Node and undici have of their own.
    expect(few).toBeLessThanOrEqual(16)
    expect(many - few).toBeLessThanOrEqual(8)
  })
})

const WAL_HEADER_BYTES = 32
const FRAME_HEADER_BYTES = 24

function fileOf({ location }: TestDatabase): string {
  return location.kind === 'sqlite' ? location.file : ''
}

/** How many timers there are made while `work` is done, by anybody in this process. */
async function countTimers(work: () => Promise<unknown>): Promise<number> {
  let timers = 0
  const hook = createHook({
    init: (_id, type) => {
      if (type === 'Timeout') timers++
    },
  }).enable()
  await work()
  hook.disable()
  return timers
}

/** What is written to the responses of a server while `work` is done. */
async function countWrites({ app }: RunningApp, work: () => Promise<unknown>): Promise<string[]> {
  const writes: string[] = []
  const note = (_request: IncomingMessage, response: ServerResponse) => {
    for (const name of ['write', 'end'] as const) {
      const original = response[name].bind(response) as (...args: unknown[]) => unknown
      Object.assign(response, {
        [name]: (...args: unknown[]) => {
          writes.push(name)
          return original(...args)
        },
      })
    }
  }
  app.http.server.prependListener('request', note)
  try {
    await work()
    return writes
  } finally {
    app.http.server.off('request', note)
  }
}
