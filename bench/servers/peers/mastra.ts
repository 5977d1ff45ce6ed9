import { join } from 'node:path'
import type { Call } from '../../wire/call.ts'
import { MODEL, TOKENS } from '../../wire/openai-reply.ts'
import { postJson } from '../post-json.ts'
import { earlierMessages, MESSAGE, SYSTEM } from '../scene.ts'
import { createPeer, makeAll } from './peer.ts'

const RESOURCE = 'user'
const THREADS = '/api/memory/threads?agentId=usual'
const SAVE = '/api/memory/save-messages?agentId=usual'
/** Messages that are stored in one request. */
const SAVED_AT_ONCE = 1_000

/** `whole` is the agent that sends all messages; the usual one sends the last 10, as Mastra does by itself. */
const turn = (agent: 'usual' | 'whole'): Call => ({
  method: 'POST',
  path: `/api/agents/${agent}/stream`,
  body: JSON.stringify({
    messages: [{ role: 'user', content: MESSAGE }],
    memory: { thread: '{id}', resource: RESOURCE },
  }),
})

/** Mastra's agents, memory and LibSQL storage behind its own server for Fastify: see bench/peers/mastra/server.ts. */
export const mastra = createPeer({
  name: 'mastra',
  title: 'Mastra',
  packages: ['@mastra/core', '@mastra/fastify', '@mastra/memory', '@mastra/libsql', '@ai-sdk/openai-compatible'],
  note: 'sends the last 10 messages unless all are asked for',
  program: ({ folder, port, providerUrl, directory }) => ({
    args: [join(folder, 'server.ts')],
    env: {
      PORT: `${port}`,
      PROVIDER_URL: providerUrl,
      MODEL,
      SYSTEM,
      DATABASE: `file:${join(directory, 'mastra.db')}`,
    },
  }),
  wire: (port) => ({
    port,
    create: {
      call: { method: 'POST', path: THREADS, body: JSON.stringify({ resourceId: RESOURCE }) },
      id: '"id":"([^"]+)"',
    },
    turn: turn('usual'),
    probe: { method: 'GET', path: '/healthz' },
    ending: '}}}\n\n',
    marks: TOKENS,
    // The last events repeat the text, thirteen times.
    mark: '"type":"text-delta"',
  }),
  async talk({ port, messages, how, copies }) {
    const ids = await makeAll(copies, () => createThread(port, messages, how))
    return { ids, call: turn(how === 'whole' ? 'whole' : 'usual') }
  },
})

async function createThread(port: number, messages: number, how: 'whole' | 'window'): Promise<string> {
  const { id } = await postJson<{ id: string }>(port, THREADS, { resourceId: RESOURCE })
  const said = earlierMessages(messages, how === 'whole' ? 'usual' : 'short')
  // In the past and in order: its messages are sorted by time.
  const start = Date.now() - messages * 1_000
  for (let from = 0; from < messages; from += SAVED_AT_ONCE) {
    const part = said.slice(from, from + SAVED_AT_ONCE).map((message, i) => ({
      ...message,
      threadId: id,
      resourceId: RESOURCE,
      type: 'text',
      createdAt: new Date(start + (from + i) * 1_000).toISOString(),
    }))
    await postJson(port, SAVE, { messages: part })
  }
  return id
}
