import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { Agent } from '@mastra/core/agent'
import { Mastra } from '@mastra/core/mastra'
import { MastraServer } from '@mastra/fastify'
import { LibSQLStore } from '@mastra/libsql'
import { Memory } from '@mastra/memory'
import fastify from 'fastify'

/**
 * Mastra as its pages say: an agent with memory on LibSQL, behind its server for Fastify. Configured by PORT,
 * PROVIDER_URL, MODEL, SYSTEM and DATABASE.
 */

const { PORT, PROVIDER_URL = '', MODEL = '', SYSTEM = '', DATABASE = '' } = process.env
/** More than any conversation of the benchmark has. */
const ALL_MESSAGES = 100_000

const provider = createOpenAICompatible({
  name: 'bench',
  baseURL: PROVIDER_URL,
  apiKey: 'none',
  includeUsage: true,
})
const storage = new LibSQLStore({ id: 'bench', url: DATABASE })

const createAgent = (id: string, options: { lastMessages?: number }) =>
  new Agent({ id, name: id, instructions: SYSTEM, model: provider(MODEL), memory: new Memory({ storage, options }) })

const mastra = new Mastra({
  agents: { usual: createAgent('usual', {}), whole: createAgent('whole', { lastMessages: ALL_MESSAGES }) },
  storage,
})

const app = fastify({ bodyLimit: 16 * 1024 * 1024 })
app.get('/healthz', async () => ({ status: 'ok' }))
await new MastraServer({ app, mastra }).init()
await app.listen({ host: '127.0.0.1', port: Number(PORT) })
