import { createHash } from 'node:crypto'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'

export type HubServer = {
  url: string
  /** Files by `owner/repo/path`. */
  files: Map<string, Buffer>
  requests: { path: string; headers: IncomingHttpHeaders }[]
  /** How the next downloads go wrong, in order: after so many bytes the connection is cut. */
  cuts: number[]
  /** Checksums that the list names instead of the right ones, by `owner/repo/path`. */
  wrongChecksums: Map<string, string>
  /** Files are sent whole, whatever is asked for. */
  ignoresRanges: boolean
  /** Downloads wait for it. */
  gate: Promise<unknown>
  close(): Promise<void>
}

/** As much of the hub as the server uses: the list of a repository's files, and the files with ranges. */
export async function startHub(): Promise<HubServer> {
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://hub')
    hub.requests.push({ path: pathname, headers: request.headers })
    const [, repository] = /^\/api\/models\/([^/]+\/[^/]+)\/tree\/main$/.exec(pathname) ?? []
    if (repository !== undefined) {
      const list = listOf(repository)
      response.writeHead(list.length === 0 ? 401 : 200, { 'content-type': 'application/json' })
      return response.end(JSON.stringify(list))
    }
    const file = hub.files.get(pathname.slice(1).replace('/resolve/main/', '/'))
    if (file === undefined) return response.writeHead(404).end()
    await hub.gate
    const start = hub.ignoresRanges ? 0 : Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0)
    const range = { 'content-range': `bytes ${start}-${file.length - 1}/${file.length}` }
    response.writeHead(start === 0 ? 200 : 206, { 'content-length': file.length - start, ...(start > 0 && range) })
    const cut = hub.cuts.shift()
    if (cut === undefined) return response.end(file.subarray(start))
    // Later, because a client throws away what it has not read yet when its connection breaks.
    response.write(file.subarray(start, start + cut), () => setTimeout(() => response.destroy(), 100))
  })

  function listOf(repository: string) {
    const names = [...hub.files.keys()].filter((name) => name.startsWith(`${repository}/`))
    return names.map((name) => {
      const bytes = hub.files.get(name) as Buffer
      const oid = hub.wrongChecksums.get(name) ?? createHash('sha256').update(bytes).digest('hex')
      const path = name.slice(repository.length + 1)
      return { type: 'file', oid: 'git', size: bytes.length, path, lfs: { oid, size: bytes.length, pointerSize: 130 } }
    })
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const hub: HubServer = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    files: new Map(),
    requests: [],
    cuts: [],
    wrongChecksums: new Map(),
    ignoresRanges: false,
    gate: Promise.resolve(),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
  return hub
}
