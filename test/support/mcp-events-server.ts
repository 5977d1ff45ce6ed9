import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { SSEServerTransport } from '@modelcontextprotocol/sdk/server/sse.js'
import { createMcpServer } from './mcp-server.ts'

/** The server of `mcp-server.ts` over the older way of HTTP only, made with the official SDK, on a free port of 127.0.0.1. */
export async function startMcpEventsServer() {
  const streams = new Map<string, SSEServerTransport>()
  const authorizations: (string | undefined)[] = []
  const http = createServer((request, response) => {
    authorizations.push(request.headers.authorization)
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://127.0.0.1')
    if (request.method === 'GET' && pathname === '/sse') {
      const transport = new SSEServerTransport('/messages', response)
      streams.set(transport.sessionId, transport)
      response.on('close', () => streams.delete(transport.sessionId))
      void createMcpServer().connect(transport)
      return
    }
    const stream = streams.get(searchParams.get('sessionId') ?? '')
    if (request.method === 'POST' && pathname === '/messages' && stream)
      void stream.handlePostMessage(request, response)
    else response.writeHead(404).end('Cannot POST /sse')
  })
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}/sse`,
    authorizations,
    streams: () => streams.size,
    close: async () => {
      const closed = new Promise<void>((resolve) => http.close(() => resolve()))
      http.closeAllConnections()
      await closed
    },
  }
}
