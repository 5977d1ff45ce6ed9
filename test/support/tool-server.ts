import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export type ToolRequest = { method: string; path: string; headers: IncomingHttpHeaders; body: string }
type Answer = (request: ToolRequest, response: ServerResponse) => unknown

export type ToolServer = {
  /** `http://127.0.0.1:<port>` */
  url: string
  port: number
  requests: ToolRequest[]
  /** How requests whose path begins with this are answered; by default with what was asked, as JSON. */
  on(path: string, answer: Answer): void
  /** Resolves when a request with such a path has come. */
  asked(path: string): Promise<ToolRequest>
  close(): Promise<void>
}

/** A service for tools to call. */
export async function startToolServer(): Promise<ToolServer> {
  const requests: ToolRequest[] = []
  const answers = new Map<string, Answer>()
  const waiting: { path: string; resolve: (request: ToolRequest) => void }[] = []
  const server = createServer((incoming, response) => void handle(incoming, response))

  async function handle(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on('error', () => {})
    const pieces: Buffer[] = []
    for await (const piece of incoming) pieces.push(piece as Buffer)
    const { method = '', url: path = '', headers } = incoming
    const request = { method, path, headers, body: Buffer.concat(pieces).toString() }
    requests.push(request)
    for (const one of waiting.filter((wanted) => path.startsWith(wanted.path))) one.resolve(request)
    const found = [...answers].find(([prefix]) => path.startsWith(prefix))?.[1]
    if (found) found(request, response)
    else
      response.setHeader('content-type', 'application/json').end(JSON.stringify({ method, path, body: request.body }))
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    requests,
    on: (path, answer) => void answers.set(path, answer),
    asked: (path) => {
      const known = requests.find((request) => request.path.startsWith(path))
      return known ? Promise.resolve(known) : new Promise((resolve) => waiting.push({ path, resolve }))
    },
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      server.closeAllConnections()
      await closed
    },
  }
}
