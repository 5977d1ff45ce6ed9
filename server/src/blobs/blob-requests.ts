import { setTimeout as wait } from 'node:timers/promises'
import { printableLine } from '../lib/text/printable.ts'
import { BlobError } from './blob-store.ts'

/** Milliseconds that one request may take, its body included. */
const REQUEST_MS = 30_000
/** How often a request is sent before the store counts as unusable, and milliseconds between, doubled each time. */
const MOST_ATTEMPTS = 3
const FIRST_WAIT_MS = 200
/** Characters of an answer that are worth showing an operator. */
const SHOWN = 300
/** How many blobs of a prefix are deleted at a time. */
const DELETED_AT_ONCE = 8

export type BlobRequest = {
  method: 'GET' | 'HEAD' | 'PUT' | 'DELETE'
  url: URL
  body?: Uint8Array
  contentType?: string
}
export type BlobAnswer = { status: number; bytes: Uint8Array<ArrayBuffer> }

/**
 * Sends a signed request and reads the whole answer. What the store itself failed at (5xx, 429, no connection) is tried
 * again; every request of a blob store may be sent twice. Throws {@link BlobError} for any status but 2xx and 404.
 */
export async function askStore(
  name: string,
  request: BlobRequest,
  sign: (request: BlobRequest) => Promise<Request>,
): Promise<BlobAnswer> {
  for (let attempt = 1; ; attempt++) {
    const answer = await attemptRequest(name, request, sign)
    if (!(answer instanceof BlobError) && (answer.status < 300 || answer.status === 404)) return answer
    const isFinal = !(answer instanceof BlobError) && answer.status < 500 && answer.status !== 429
    if (isFinal || attempt === MOST_ATTEMPTS) {
      throw answer instanceof BlobError ? answer : refusal(name, request, answer)
    }
    await wait(FIRST_WAIT_MS * 2 ** (attempt - 1))
  }
}

async function attemptRequest(
  name: string,
  request: BlobRequest,
  sign: (request: BlobRequest) => Promise<Request>,
): Promise<BlobAnswer | BlobError> {
  try {
    const response = await fetch(await sign(request), { signal: AbortSignal.timeout(REQUEST_MS), redirect: 'manual' })
    return { status: response.status, bytes: new Uint8Array(await response.arrayBuffer()) }
  } catch (error) {
    const { message, cause } = error as Error
    const reason = cause instanceof Error ? cause.message || (cause as NodeJS.ErrnoException).code : message
    return new BlobError(`${name} cannot be reached: ${reason}`, { cause: error })
  }
}

/** For requests that only a bucket or container that is missing answers with 404. */
export async function mustBeThere(name: string, asked: Promise<BlobAnswer>): Promise<BlobAnswer> {
  const answer = await asked
  if (answer.status === 404) throw new BlobError(`${name} does not exist`)
  return answer
}

function refusal(name: string, { method, url }: BlobRequest, { status, bytes }: BlobAnswer): BlobError {
  const said = printableLine(Buffer.from(bytes).toString('utf8')).slice(0, SHOWN)
  // Without the query: it may hold a signature.
  return new BlobError(`${name} answered ${status} to ${method} ${url.pathname}${said === '' ? '' : `: ${said}`}`)
}

/** Lists and deletes until there is nothing to list: `list` gives a page of keys, the first ones each time. */
export async function deleteAll(
  list: () => Promise<string[]>,
  deleteOne: (key: string) => Promise<void>,
): Promise<void> {
  for (let keys = await list(); keys.length > 0; keys = await list()) {
    while (keys.length > 0) await Promise.all(keys.splice(0, DELETED_AT_ONCE).map(deleteOne))
  }
}

/** The texts of all elements with this name. The stores' lists are flat, so nothing more of XML is needed. */
export function elementsOf(xml: Uint8Array, name: string): string[] {
  const text = Buffer.from(xml).toString('utf8')
  return [...text.matchAll(new RegExp(`<${name}>([^<]*)</${name}>`, 'g'))].map(([, inside]) =>
    (inside as string).replaceAll(/&(?:#x([0-9a-f]+)|#(\d+)|(\w+));/gi, (whole, hex, decimal, word) => {
      if (hex !== undefined) return String.fromCodePoint(Number.parseInt(hex, 16))
      if (decimal !== undefined) return String.fromCodePoint(Number(decimal))
      return ENTITIES[word as keyof typeof ENTITIES] ?? whole
    }),
  )
}

const ENTITIES = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }
