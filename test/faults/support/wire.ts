import { type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http'
import { ADMIN_KEY, type Json } from '../../support/app.ts'

export type Answer = { status: number; headers: IncomingHttpHeaders; text: string; body: Json }

/** An answer that is read as it comes. */
export type Open = {
  status: number
  headers: IncomingHttpHeaders
  response: IncomingMessage
  /** Cuts the connection. */
  vanish(): void
}

export type Call = {
  method: string
  path: string
  body?: unknown
  headers?: Record<string, string>
}

/** Sends a request on a connection of its own; resolves when the head of the answer is there. */
export function open(url: string, { method, path, body, headers }: Call): Promise<Open> {
  const text = body === undefined ? undefined : JSON.stringify(body)
  return new Promise((resolve, reject) => {
    const sent = request(url + path, {
      method,
      agent: false,
      headers: {
        'x-hl-api-key': ADMIN_KEY,
        ...(text === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
        ...headers,
      },
    })
    sent.on('error', reject)
    sent.on('response', (response) => {
      // Whoever reads gets the error from the reading.
      response.on('error', () => {})
      resolve({
        status: response.statusCode ?? 0,
        headers: response.headers,
        response,
        vanish: () => void response.destroy(),
      })
    })
    sent.end(text)
  })
}

/** The rest of an answer as text. Rejects when the connection breaks before its end. */
export async function readText(response: IncomingMessage): Promise<string> {
  response.setEncoding('utf8')
  let text = ''
  for await (const piece of response) text += piece
  return text
}

/** Sends a request and reads the whole answer. Rejects when the connection breaks. */
export async function call(url: string, method: string, path: string, body?: unknown): Promise<Answer> {
  const { status, headers, response } = await open(url, { method, path, body })
  const text = await readText(response)
  const isJson = /json/.test(headers['content-type'] ?? '') && text !== ''
  return { status, headers, text, body: isJson ? (JSON.parse(text) as Json) : {} }
}

/** One event of a server-sent stream: its bytes, without the empty line that ends it. */
export type Block = string

/**
 * The events of a server-sent stream as they become complete; comments are left out. Ends when the stream ends, and
 * says whether it did so properly: a connection that breaks is not an error here, it is what the tests are about.
 */
export async function readBlocks(
  response: IncomingMessage,
  onBlock: (block: Block) => void,
): Promise<{ isWhole: boolean }> {
  response.setEncoding('utf8')
  let rest = ''
  try {
    for await (const piece of response) {
      rest += piece
      for (let end = rest.indexOf('\n\n'); end !== -1; end = rest.indexOf('\n\n')) {
        const block = rest.slice(0, end)
        rest = rest.slice(end + 2)
        if (!block.startsWith(':')) onBlock(block)
      }
    }
    return { isWhole: true }
  } catch {
    return { isWhole: false }
  }
}

/** The `data` of an event. */
export function dataOf(block: Block): string {
  return /^data: (.*)$/m.exec(block)?.[1] ?? ''
}

/** The run and the number in the `id` of an event; null for one without. */
export function idOf(block: Block): { runId: string; n: number } | null {
  const [, runId, n] = /^id: ([0-9a-f-]{36}):(\d+)$/m.exec(block) ?? []
  return runId === undefined ? null : { runId, n: Number(n) }
}

export type Item = {
  choice: { finish_reason: string | null; message: { role?: string; content: string } }
  messageId: string
  runId: string
}

/** The items of a JSON array that may have been cut anywhere, as they were written. */
export function splitArray(text: string): string[] {
  const items = text.replace(/^\[/, '').split(/,(?=\{"choice":)/)
  return items.map((item) => item.replace(/\]$/, '')).filter(isJson)
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}
