import { join } from 'node:path'
import type { Call } from '../../wire/call.ts'
import { MODEL, REPLY_TEXT, TOKENS } from '../../wire/openai-reply.ts'
import { postJson } from '../post-json.ts'
import { earlierMessages, MESSAGE, SYSTEM } from '../scene.ts'
import { createPeer, makeAll } from './peer.ts'

const TURN: Call = { method: 'POST', path: '/conversations/{id}/chat', body: JSON.stringify({ message: MESSAGE }) }

/** What a good developer writes in an afternoon: see bench/peers/afternoon/server.ts. */
export const afternoon = createPeer({
  name: 'afternoon',
  title: 'afternoon, SQLite',
  packages: ['fastify', 'ai', '@ai-sdk/openai-compatible', 'better-sqlite3'],
  note: 'WAL, synchronous=NORMAL',
  program: ({ folder, port, providerUrl, directory }) => ({
    args: [join(folder, 'server.ts')],
    env: { PORT: `${port}`, PROVIDER_URL: providerUrl, MODEL, DATABASE: join(directory, 'afternoon.db') },
  }),
  wire: (port) => ({
    port,
    create: {
      call: { method: 'POST', path: '/conversations', body: JSON.stringify({ systemMessage: SYSTEM }) },
      id: '"id":"([^"]+)"',
    },
    turn: TURN,
    probe: { method: 'GET', path: '/healthz' },
    ending: REPLY_TEXT.slice(-20),
    marks: TOKENS,
  }),
  async talk({ port, messages, how, copies }) {
    // It has no window: it sends everything.
    if (how === 'window') return null
    const body = { systemMessage: SYSTEM, messages: earlierMessages(messages) }
    const create = async () => (await postJson<{ id: string }>(port, '/conversations', body)).id
    return { ids: await makeAll(copies, create), call: TURN }
  },
})
