import { createInterface } from 'node:readline'

/** An MCP server over stdio that also prints, notifies and asks, as many do. */
const send = (message: object) => process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`)
process.stdout.write('\ufeffStarting the server v1 …\n{"level":"info","msg":"ready"}\n\n[]\nnull\n')

for await (const line of createInterface({ input: process.stdin })) {
  const { id, method, params } = JSON.parse(line) as {
    id?: number
    method?: string
    params?: { protocolVersion?: string }
  }
  if (method === 'initialize') {
    const { protocolVersion } = params ?? {}
    const serverInfo = { name: 'noisy', version: '1' }
    send({ id, result: { protocolVersion, capabilities: { tools: {}, logging: {} }, serverInfo } })
  }
  if (method === 'tools/list') send({ id, result: { tools: [{ name: 'hi', inputSchema: { type: 'object' } }] } })
  if (method === 'tools/call') {
    process.stdout.write('debug: called\r\n')
    send({ method: 'notifications/message', params: { level: 'info', data: 'x' } })
    send({ method: 'notifications/tools/list_changed' })
    send({ id: 99, method: 'roots/list' })
    send({ id, result: { content: [{ type: 'text', text: 'hi there' }] } })
  }
}
