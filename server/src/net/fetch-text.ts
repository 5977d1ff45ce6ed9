import type { Dispatcher } from 'undici'
import { request } from '../lib/undici.ts'

/** Redirects that are followed. */
const MOST_REDIRECTS = 5

export type TextRequest = {
  url: string
  method: string
  headers: Record<string, string>
  body: string | null
}

export type TextAnswer = {
  status: number
  contentType: string
  text: string
  /** There was more than `maxBytes`. */
  isCut: boolean
}

export class TooManyRedirects extends Error {}

/**
 * Makes a request and reads up to `maxBytes` of the answer as text. Follows redirects as browsers do; to another origin
 * it goes without the headers, which may hold secrets, and never with a body. Every connection is the dispatcher's.
 * `onRequest` is told of every request, those of redirects too, before it is made, and what it throws is thrown.
 */
export async function fetchText(
  wanted: TextRequest,
  options: { dispatcher: Dispatcher; signal: AbortSignal; maxBytes: number; onRequest?: () => void },
): Promise<TextAnswer> {
  let { url, method, headers, body } = wanted
  for (let redirects = 0; redirects <= MOST_REDIRECTS; redirects++) {
    const { dispatcher, signal } = options
    options.onRequest?.()
    const answer = await request(url, { dispatcher, signal, method: method as Dispatcher.HttpMethod, headers, body })
    const location = answer.headers.location
    if (
      answer.statusCode < 300 ||
      answer.statusCode > 399 ||
      typeof location !== 'string' ||
      !URL.canParse(location, url)
    ) {
      return readAnswer(answer, options.maxBytes)
    }
    answer.body.destroy()
    answer.body.on('error', () => {})
    const next = new URL(location, url)
    if (!/^https?:$/.test(next.protocol)) throw new TooManyRedirects('it redirects to what is no web address')
    const isElsewhere = next.origin !== new URL(url).origin
    if (isElsewhere) headers = {}
    const keepsMethod = answer.statusCode === 307 || answer.statusCode === 308 || /^(GET|HEAD)$/.test(method)
    if (keepsMethod && isElsewhere && body !== null) throw new TooManyRedirects('it redirects a body to another host')
    if (!keepsMethod) {
      method = 'GET'
      body = null
      headers = Object.fromEntries(Object.entries(headers).filter(([name]) => !/^content-/i.test(name)))
    }
    url = next.href
  }
  throw new TooManyRedirects('it redirects too often')
}

async function readAnswer(answer: Dispatcher.ResponseData, maxBytes: number): Promise<TextAnswer> {
  const pieces: Buffer[] = []
  let bytes = 0
  let isCut = false
  for await (const piece of answer.body as AsyncIterable<Buffer>) {
    pieces.push(piece)
    bytes += piece.length
    if (bytes <= maxBytes) continue
    isCut = true
    // Leaving the loop closes the connection.
    break
  }
  const read = Buffer.concat(pieces).subarray(0, maxBytes)
  const contentType = String(answer.headers['content-type'] ?? '')
  return { status: answer.statusCode, contentType, text: new TextDecoder().decode(read, { stream: isCut }), isCut }
}
