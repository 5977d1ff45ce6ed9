import { Agent, request } from 'node:http'
import { parentPort, Worker } from 'node:worker_threads'

export type Sent = {
  method: string
  url: string
  headers?: Record<string, string>
  body?: string | Uint8Array
}
/** What came back: of a long answer only how long it was, and how it began and ended. */
export type Received = { status: number; headers: Record<string, unknown>; bytes: number; text: string; end: string }

export type DistantClient = { send(sent: Sent): Promise<Received>; close(): Promise<void> }

/** Characters of an answer that cross threads. */
const SHOWN = 4_096

/** Sends requests from a thread of its own: what the client does with a long answer is no work of the server's thread. */
export function createDistantClient(): DistantClient {
  const worker = new Worker(new URL(import.meta.url))
  const waiting = new Map<number, PromiseWithResolvers<Received>>()
  let last = 0
  worker.on('message', ({ id, received, failure }: { id: number; received?: Received; failure?: string }) => {
    const waiter = waiting.get(id)
    waiting.delete(id)
    if (received) waiter?.resolve(received)
    else waiter?.reject(new Error(failure))
  })
  return {
    send(sent) {
      const waiter = Promise.withResolvers<Received>()
      waiting.set(++last, waiter)
      worker.postMessage({ id: last, sent })
      return waiter.promise
    },
    close: async () => void (await worker.terminate()),
  }
}

const agent = new Agent({ keepAlive: true })

function sendHere({ method, url, headers = {}, body }: Sent): Promise<Received> {
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { method, headers, agent }, (answer) => {
      let bytes = 0
      let text = ''
      let end = ''
      answer.on('data', (chunk: Buffer) => {
        bytes += chunk.length
        if (text.length < SHOWN) text = (text + chunk.toString('utf8')).slice(0, SHOWN)
        end = (end + chunk.subarray(-SHOWN).toString('utf8')).slice(-SHOWN)
      })
      answer.on('end', () =>
        resolve({ status: answer.statusCode ?? 0, headers: { ...answer.headers }, bytes, text, end }),
      )
      answer.on('error', reject)
    })
    outgoing.on('error', reject)
    outgoing.end(body)
  })
}

parentPort?.on('message', ({ id, sent }: { id: number; sent: Sent }) => {
  sendHere(sent).then(
    (received) => parentPort?.postMessage({ id, received }),
    (error: Error) => parentPort?.postMessage({ id, failure: error.message }),
  )
})
