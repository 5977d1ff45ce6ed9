import { Agent, request } from 'node:http'
import type { Filled } from './world.ts'

export type RawAnswer = { status: number; headers: Record<string, string>; bytes: Buffer }

/** Milliseconds after which an answer that does not come is a fault. */
const PATIENCE_MS = 60_000

/** Sends requests as they are: `fetch` would tidy them up. */
export function createSender(url: string) {
  const { hostname, port } = new URL(url)
  const agent = new Agent({ keepAlive: true })

  const send = ({ method, target, headers, body }: Filled): Promise<RawAnswer> =>
    new Promise((resolve, reject) => {
      const length = body === null ? {} : { 'content-length': String(body.length) }
      const outgoing = request({ hostname, port, method, path: target, headers: { ...headers, ...length }, agent })
      outgoing.setTimeout(PATIENCE_MS, () => outgoing.destroy(new Error(`no answer within ${PATIENCE_MS} ms`)))
      outgoing.on('error', reject)
      outgoing.on('response', (answer) => {
        const pieces: Buffer[] = []
        answer.on('data', (piece: Buffer) => pieces.push(piece))
        answer.on('error', reject)
        answer.on('end', () => {
          const entries = Object.entries(answer.headers).map(([name, value]) => [name, [value].flat().join(', ')])
          resolve({
            status: answer.statusCode ?? 0,
            headers: Object.fromEntries(entries),
            bytes: Buffer.concat(pieces),
          })
        })
      })
      outgoing.end(body ?? undefined)
    })

  return { send, close: () => agent.destroy() }
}
