import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Call } from '../../wire/call.ts'
import { TOKENS } from '../../wire/openai-reply.ts'
import { postJson } from '../post-json.ts'
import { earlierMessages, MESSAGE } from '../scene.ts'
import { flowData } from './flowise-flow.ts'
import { createPeer, makeAll } from './peer.ts'

const ACCOUNT = { email: 'bench@example.org', password: 'Bench-mark-1!' }
const API = '/api/v1'

/** A chat flow of a model, a buffer memory and a conversation chain in Flowise, on its SQLite file. */
export const flowise = createPeer({
  name: 'flowise',
  title: 'Flowise',
  packages: ['flowise'],
  note: 'its list of tokens comes from its packages, its check of addresses is off because the provider is local',
  rebuilds: ['sqlite3'],
  program: ({ folder, port, directory }) => ({
    args: ['--require', join(folder, 'token-lists.cjs'), join(folder, 'node_modules/flowise/bin/run'), 'start'],
    env: {
      PORT: `${port}`,
      HOST: '127.0.0.1',
      OPENAI_API_KEY: 'none',
      HTTP_SECURITY_CHECK: 'false',
      DATABASE_PATH: directory,
      APIKEY_PATH: directory,
      SECRETKEY_PATH: directory,
      LOG_PATH: join(directory, 'logs'),
      BLOB_STORAGE_PATH: join(directory, 'storage'),
      DISABLE_FLOWISE_TELEMETRY: 'true',
      NODE_PATH: join(folder, 'node_modules'),
    },
  }),
  /** Makes the first account and the flow; its id is what turns are sent to. */
  async setUp(port, { providerUrl }) {
    const user = { name: 'Bench', email: ACCOUNT.email, type: 'PASSWORD', credential: ACCOUNT.password }
    await postJson(port, `${API}/account/register`, { user })
    const cookie = await logIn(port)
    const flow = { name: 'bench', flowData: flowData(providerUrl), type: 'CHATFLOW', deployed: true, isPublic: true }
    const headers = { cookie, 'x-request-from': 'internal' }
    return (await postJson<{ id: string }>(port, `${API}/chatflows`, flow, headers)).id
  },
  wire: (port, _run, flowId) => ({
    port,
    // A conversation is whatever id the client sends.
    create: null,
    turn: turn(flowId),
    probe: { method: 'GET', path: `${API}/ping` },
    ending: 'data:{"event":"end","data":"[DONE]"}\n\n',
    marks: TOKENS,
  }),
  async talk({ run, messages, how, copies, setUp: flowId }) {
    // It has no endpoint that stores messages of before, and no window.
    if (how === 'window') return null
    const ids = await makeAll(copies, async () => insertMessages(run.directory, flowId, messages))
    return { ids, call: turn(flowId) }
  },
  patienceMs: 120_000,
})

const turn = (flowId: string): Call => ({
  method: 'POST',
  path: `${API}/prediction/${flowId}`,
  body: JSON.stringify({ question: MESSAGE, streaming: true, chatId: '{id}' }),
})

async function logIn(port: number): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${port}${API}/auth/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(ACCOUNT),
  })
  const cookies = response.headers.getSetCookie()
  if (cookies.length === 0) throw new Error(`Flowise has let nobody in: ${response.status}`)
  return cookies.map((cookie) => cookie.split(';')[0]).join('; ')
}

function insertMessages(directory: string, flowId: string, count: number): string {
  const chatId = randomUUID()
  const database = new DatabaseSync(join(directory, 'database.sqlite'))
  const insert = database.prepare(
    `insert into chat_message (id, role, chatflowid, content, createdDate, chatType, chatId, memoryType, sessionId)
     values (?, ?, ?, ?, ?, 'EXTERNAL', ?, 'bufferMemory', ?)`,
  )
  const start = Date.now() - count * 1_000
  database.exec('begin')
  for (const [i, { role, content }] of earlierMessages(count).entries()) {
    const at = new Date(start + i * 1_000).toISOString().replace('T', ' ').replace('Z', '')
    const kind = role === 'user' ? 'userMessage' : 'apiMessage'
    insert.run(randomUUID(), kind, flowId, content, at, chatId, chatId)
  }
  database.exec('commit')
  database.close()
  return chatId
}
