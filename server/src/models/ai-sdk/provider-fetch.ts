import type { Dispatcher } from 'undici'
import { parseExactly } from '../../lib/exact-json.ts'
import { createBoundedFetch } from '../../net/bounded-fetch.ts'
import { DIALECT_HEADER, type Dialect, writeInDialect } from '../dialects/dialect.ts'
import { isWebPage } from '../errors/wrong-address.ts'
import type { Fetch } from '../hosted-providers/hosted-provider.ts'
import { endingAfterFinish } from './stream-end.ts'

/** Bytes of an answer that are read, unpacked, and of one that is an error. */
const MOST_OF_REPLY = 32 * 1_024 * 1_024
const MOST_OF_ERROR = 256 * 1_024

/** A `fetch` whose connections are the dispatcher's. */
export function fetchThrough(dispatcher: Dispatcher): Fetch {
  let bounded: Promise<Fetch> | undefined
  return async (input, init) => {
    // A redirect is not followed: it could lead to the inside, and takes the key along.
    bounded ??= createBoundedFetch({
      dispatcher: endingAfterFinish(dispatcher),
      mostBytes: MOST_OF_REPLY,
      mostOfError: MOST_OF_ERROR,
    })
    return withoutPages(await (await bounded)(input, inDialect(init)))
  }
}

/** A request as its model wants it, where that differs from what the packages write. */
function inDialect(init: RequestInit | undefined): RequestInit | undefined {
  const headers = new Headers(init?.headers)
  const dialect = headers.get(DIALECT_HEADER)
  if (dialect === null || typeof init?.body !== 'string') return init
  const body = parseExactly(init.body) as Record<string, unknown>
  writeInDialect(body, JSON.parse(dialect) as Dialect)
  headers.delete(DIALECT_HEADER)
  return { ...init, headers, body: JSON.stringify(body) }
}

/** A web page with the status of a success, which the packages would read as a stream without events. */
export class WebPageError extends Error {
  readonly status: number

  constructor(status: number) {
    super(`a web page (${status})`)
    this.name = 'WebPageError'
    this.status = status
  }
}

/** What providers stream. Of anything else the beginning is looked at. */
const STREAMED = /^(?:text\/event-stream|application\/(?:json|vnd\.amazon\.eventstream))\b/i

async function withoutPages(answer: Response): Promise<Response> {
  const { status, headers, body } = answer
  if (!answer.ok || body === null || STREAMED.test(headers.get('content-type') ?? '')) return answer
  const reader = body.getReader()
  const first = await reader.read()
  if (first.value !== undefined && isWebPage(new TextDecoder().decode(first.value))) {
    reader.cancel().catch(() => {})
    throw new WebPageError(status)
  }
  const rest = new ReadableStream<Uint8Array>({
    start(controller) {
      if (first.value !== undefined) controller.enqueue(first.value)
    },
    async pull(controller) {
      const { done, value } = await reader.read()
      if (done) controller.close()
      else controller.enqueue(value)
    },
    cancel: (reason) => reader.cancel(reason),
  })
  return new Response(rest, { status, headers })
}
