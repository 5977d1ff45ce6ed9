import { copyFileSync, existsSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import type { Call } from '../../wire/call.ts'
import { MODEL, TOKENS } from '../../wire/openai-reply.ts'
import { postJson } from '../post-json.ts'
import { earlierMessages, MESSAGE, SYSTEM } from '../scene.ts'
import { createPeer, makeAll } from './peer.ts'

const TURN: Call = {
  method: 'POST',
  path: '/threads/{id}/runs/stream',
  body: JSON.stringify({
    assistant_id: 'talk',
    input: { messages: [{ role: 'user', content: MESSAGE }] },
    stream_mode: ['messages-tuple'],
  }),
}

/**
 * A graph of one node behind the server that comes with LangGraph's own command line, which is the one of theirs that
 * installs from npm: see bench/peers/langgraph/graph.ts.
 */
export const langgraph = createPeer({
  name: 'langgraph',
  title: 'LangGraph JS',
  packages: ['@langchain/langgraph', '@langchain/langgraph-api', '@langchain/langgraph-cli', '@langchain/openai'],
  note: 'langgraphjs dev, which says of itself that it is for development and keeps its data in memory and in files',
  program: ({ folder, port, providerUrl, directory }) => {
    // It keeps its data beside its configuration.
    for (const file of ['graph.ts', 'langgraph.json', 'package.json']) {
      copyFileSync(join(folder, file), join(directory, file))
    }
    const modules = join(directory, 'node_modules')
    if (!existsSync(modules)) symlinkSync(join(folder, 'node_modules'), modules)
    const cli = join(folder, 'node_modules/.bin/langgraphjs')
    return {
      args: [cli, 'dev', '--port', `${port}`, '--host', '127.0.0.1', '--no-browser', '--no-reload'],
      env: { PROVIDER_URL: providerUrl, MODEL, SYSTEM, LANGSMITH_TRACING: 'false' },
    }
  },
  wire: (port) => ({
    port,
    create: { call: { method: 'POST', path: '/threads', body: '{}' }, id: '"thread_id":"([^"]+)"' },
    turn: TURN,
    probe: { method: 'GET', path: '/ok' },
    // Each event has its number: the run, the role, the tokens, the finish reason and the usage.
    ending: `id: ${TOKENS + 3}\n\n`,
    marks: TOKENS,
  }),
  async talk({ port, messages, how, copies }) {
    if (how === 'window') return null
    const values = { messages: earlierMessages(messages) }
    const create = async () => {
      const { thread_id: id } = await postJson<{ thread_id: string }>(port, '/threads', {
        metadata: { graph_id: 'talk' },
      })
      await postJson(port, `/threads/${id}/state`, { values, as_node: 'talk' })
      return id
    }
    return { ids: await makeAll(copies, create), call: TURN }
  },
  patienceMs: 60_000,
})
