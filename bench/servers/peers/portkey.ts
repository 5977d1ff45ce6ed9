import { join } from 'node:path'
import type { Call } from '../../wire/call.ts'
import { STREAM_END, TOKENS } from '../../wire/openai-reply.ts'
import { completionRequest, earlierMessages, type Said } from '../scene.ts'
import { createPeer } from './peer.ts'

/** The gateway of Portkey in front of the provider. It stores nothing and has no conversations. */
export const portkey = createPeer({
  name: 'portkey',
  title: 'Portkey gateway',
  packages: ['@portkey-ai/gateway', '@hono/node-server'],
  note: 'stores nothing; streams fail with the newer @hono/node-server that npm would choose',
  program: ({ folder, port }) => ({
    args: [join(folder, 'node_modules/@portkey-ai/gateway/build/start-server.js'), `--port=${port}`, '--headless'],
  }),
  wire: (port, { providerUrl }) => ({
    port,
    create: null,
    turn: completion(providerUrl, []),
    probe: { method: 'GET', path: '/' },
    ending: STREAM_END,
    marks: TOKENS,
  }),
  async talk({ run, messages, how, copies }) {
    if (how === 'window') return null
    return {
      ids: Array.from({ length: copies }, () => ''),
      call: completion(run.providerUrl, earlierMessages(messages)),
    }
  },
})

function completion(providerUrl: string, earlier: readonly Said[]): Call {
  const headers = {
    'x-portkey-provider': 'openai',
    'x-portkey-custom-host': providerUrl,
    authorization: 'Bearer none',
  }
  return { method: 'POST', path: '/v1/chat/completions', headers, body: completionRequest(earlier) }
}
