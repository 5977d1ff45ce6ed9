import { join } from 'node:path'
import type { Call, Wire } from '../../wire/call.ts'
import { MODEL, REPLY_TEXT, TOKENS } from '../../wire/openai-reply.ts'
import { postJson } from '../post-json.ts'
import { earlierMessages, MESSAGE, SYSTEM } from '../scene.ts'
import type { Server } from '../server.ts'
import { freePort, startProcess } from '../start-process.ts'
import { versionOf } from '../versions.ts'
import { installPeer, peerFolder } from './install.ts'

const NAME = 'afternoon'

/** Fastify, the AI SDK and better-sqlite3: the program stands in bench/peers/afternoon. */
export const afternoon: Server = {
  name: NAME,
  title: 'afternoon, SQLite',
  install: () => installPeer(NAME),
  versions: () =>
    ['fastify', 'ai', '@ai-sdk/openai-compatible', 'better-sqlite3']
      .map((name) => `${name} ${versionOf(name, peerFolder(NAME))}`)
      .join(', '),
  async prepare({ providerUrl, directory }) {
    return {
      async start({ nodeArguments = [], until }) {
        const port = await freePort()
        const wire = wireOf(port)
        const env = {
          ...{ PORT: `${port}`, PROVIDER_URL: providerUrl, MODEL, DATABASE: join(directory, 'afternoon.db') },
          NODE_COMPILE_CACHE: join(directory, 'compiled'),
        }
        const args = [...nodeArguments, join(peerFolder(NAME), 'server.ts')]
        const started = await startProcess({ args, env, directory, wire, until })
        return {
          ...{ ...started, wire },
          // It has no window: it sends everything.
          async talk(messages, how, copies) {
            if (how === 'window') return null
            const ids: string[] = []
            while (ids.length < copies) {
              const body = { systemMessage: SYSTEM, messages: earlierMessages(messages) }
              ids.push((await postJson<{ id: string }>(port, '/conversations', body)).id)
            }
            return { ids, call: TURN }
          },
        }
      },
      remove: async () => {},
    }
  },
}

const TURN: Call = { method: 'POST', path: '/conversations/{id}/chat', body: JSON.stringify({ message: MESSAGE }) }

function wireOf(port: number): Wire {
  return {
    port,
    create: {
      call: { method: 'POST', path: '/conversations', body: JSON.stringify({ systemMessage: SYSTEM }) },
      id: '"id":"([^"]+)"',
    },
    turn: TURN,
    probe: { method: 'GET', path: '/healthz' },
    ending: REPLY_TEXT.slice(-20),
    marks: TOKENS,
  }
}
