import { randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Server } from '@modelcontextprotocol/sdk/server/index.js'
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js'
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'
import { CallToolRequestSchema, ListToolsRequestSchema } from '@modelcontextprotocol/sdk/types.js'

const inputSchema = { type: 'object' as const, properties: { a: { type: 'number' }, b: { type: 'number' } } }
const TOOLS = ['add', 'fail', 'picture', 'env.all'].map((name) => ({
  name,
  description: `It can ${name}.`,
  inputSchema,
}))

/** An MCP server made with the official SDK; it can add, fail, draw, and show its environment. */
export function createMcpServer(): Server {
  const server = new Server({ name: 'test', version: '1.0.0' }, { capabilities: { tools: {} } })
  server.setRequestHandler(ListToolsRequestSchema, async ({ params }) =>
    // In two pages.
    params?.cursor ? { tools: TOOLS.slice(2) } : { tools: TOOLS.slice(0, 2), nextCursor: 'two' },
  )
  server.setRequestHandler(CallToolRequestSchema, async ({ params: { name, arguments: input = {} } }) => {
    if (name === 'fail') return { content: [{ type: 'text', text: 'it went wrong' }], isError: true }
    if (name === 'picture') return { content: [{ type: 'image', data: 'AAAA', mimeType: 'image/png' }] }
    if (name === 'env.all') return { content: [{ type: 'text', text: JSON.stringify(process.env) }] }
    return { content: [{ type: 'text', text: String(Number(input['a']) + Number(input['b'])) }] }
  })
  return server
}

export type McpHttpServer = {
  url: string
  requests: IncomingMessage[]
  sessions(): number
  close(): Promise<void>
}

/** The same, or another, over Streamable HTTP, with sessions, on a free port of 127.0.0.1. */
export async function startMcpServer(create: () => Server = createMcpServer): Promise<McpHttpServer> {
  const sessions = new Map<string, StreamableHTTPServerTransport>()
  const requests: IncomingMessage[] = []
  const http = createServer((request, response) => {
    requests.push(request)
    void (async () => {
      const known = sessions.get(String(request.headers['mcp-session-id']))
      if (known) return known.handleRequest(request, response)
      const transport = new StreamableHTTPServerTransport({
        sessionIdGenerator: () => randomUUID(),
        onsessioninitialized: (id) => void sessions.set(id, transport),
        onsessionclosed: (id) => void sessions.delete(id),
      })
      await create().connect(transport as Transport)
      return transport.handleRequest(request, response)
    })()
  })
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}/mcp`,
    requests,
    sessions: () => sessions.size,
    close: async () => {
      const closed = new Promise<void>((resolve) => http.close(() => resolve()))
      http.closeAllConnections()
      await closed
    },
  }
}
