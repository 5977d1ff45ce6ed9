import { join } from 'node:path'
import type { Call, Wire } from '../wire/call.ts'
import { MODEL, STREAM_END, TOKENS } from '../wire/openai-reply.ts'
import { earlierMessages, MESSAGE, SYSTEM } from './scene.ts'
import type { Server } from './server.ts'
import { freePort, startProcess } from './start-process.ts'
import { versionOf } from './versions.ts'

const PROGRAM = join(import.meta.dirname, '../floor.ts')

/** Fastify and undici, storing nothing. */
export const floor: Server = {
  name: 'floor',
  title: 'floor',
  versions: () => `fastify ${versionOf('fastify')}, undici ${versionOf('undici')}`,
  async prepare({ providerUrl, directory }) {
    return {
      async start({ nodeArguments = [], until }) {
        const port = await freePort()
        const wire = wireOf(port)
        const program = [PROGRAM, '--port', `${port}`, '--provider', providerUrl, '--model', MODEL, '--system', SYSTEM]
        // Otherwise Node.js would keep what it needs to read TypeScript in memory.
        const env = { NODE_COMPILE_CACHE: join(directory, 'compiled') }
        const started = await startProcess({ args: [...nodeArguments, ...program], env, directory, wire, until })
        return {
          ...started,
          wire,
          // It knows no history: whoever asks sends it along.
          talk: async (messages, how, copies) =>
            how === 'whole' ? { ids: Array.from({ length: copies }, () => 'any'), call: turn(messages) } : null,
        }
      },
      remove: async () => {},
    }
  },
}

function wireOf(port: number): Wire {
  return {
    port,
    create: {
      call: { method: 'POST', path: '/conversations', body: JSON.stringify({ model: MODEL, systemMessage: SYSTEM }) },
      id: '"conversationId":"([^"]+)"',
    },
    turn: turn(0),
    probe: { method: 'GET', path: '/healthz' },
    ending: STREAM_END,
    marks: TOKENS,
  }
}

function turn(history: number): Call {
  const messages = history === 0 ? {} : { messages: earlierMessages(history) }
  const body = JSON.stringify({ message: MESSAGE, ...messages })
  return { method: 'POST', path: '/conversations/{id}/chat', body }
}
