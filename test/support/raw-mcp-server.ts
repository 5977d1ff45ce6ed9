import { startToolServer, type ToolServer } from './tool-server.ts'

/** A part of an answer: what stands in `result`, or `error`, of a message. */
type Reply = { result: unknown } | { error: unknown }
export type RawAnswer = Reply & {
  /** Writes the whole message in its own way. */
  write?(json: string, response: Parameters<Parameters<ToolServer['on']>[1]>[1]): void
}

/**
 * An MCP server over Streamable HTTP that is written by hand, so that it can say what the official SDK would not let a
 * server say. `answer` is asked for every method but the handshake.
 */
export async function startRawMcpServer(
  answer: (method: string, params: Record<string, unknown>, headers: Record<string, unknown>) => RawAnswer,
): Promise<ToolServer> {
  const server = await startToolServer()
  server.on('/mcp', (request, response) => {
    const {
      id,
      method = '',
      params = {},
    } = JSON.parse(request.body || '{}') as {
      id?: number
      method?: string
      params?: Record<string, unknown>
    }
    if (id === undefined) return response.writeHead(202).end()
    const { write, ...reply } =
      method === 'initialize'
        ? {
            write: undefined,
            result: {
              protocolVersion: params['protocolVersion'],
              capabilities: { tools: {} },
              serverInfo: { name: 'raw', version: '1' },
            },
          }
        : answer(method, params, request.headers)
    const json = JSON.stringify({ jsonrpc: '2.0', id, ...reply })
    if (write) return write(json, response)
    return response.setHeader('content-type', 'application/json').end(json)
  })
  return { ...server, url: `${server.url}/mcp` }
}
