import { createHmac, timingSafeEqual } from 'node:crypto'
import { badField } from '../../errors.ts'
import { isUuid } from '../../lib/ids.ts'

/** A page of a list and the token that continues it; null at the end. */
export type Page<T> = { data: T[]; continuationToken: string | null }

/** The size of a page when the caller does not name one, and the largest it may name. */
export const DEFAULT_PAGE_SIZE = 10
export const MAX_PAGE_SIZE = 100

/**
 * An opaque token that says where a list goes on: behind the row with id `last`. It is signed together with the query,
 * so that it can neither be forged nor be used with other filters.
 */
export function createContinuationToken(secret: string, query: unknown, last: string): string {
  return Buffer.concat([Buffer.from(last.replaceAll('-', ''), 'hex'), sign(secret, query, last)]).toString('base64url')
}

/** The id that a token holds. Throws 400 `bad_request` when it was not made for this query. */
export function readContinuationToken(secret: string, query: unknown, token: string): string {
  const bytes = Buffer.from(token, 'base64url')
  const hex = bytes.subarray(0, 16).toString('hex')
  const last = `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
  const isIntact = bytes.length === 32 && bytes.toString('base64url') === token && isUuid(last)
  if (!isIntact || !timingSafeEqual(bytes.subarray(16), sign(secret, query, last))) {
    throw badField('continuationToken', 'does not belong to this query')
  }
  return last
}

function sign(secret: string, query: unknown, last: string): Buffer {
  return createHmac('sha256', secret)
    .update(JSON.stringify([query, last]))
    .digest()
    .subarray(0, 16)
}

/** Cuts one row more than was asked for into a page: the extra row only tells that there is another page. */
export function toPage<T>(rows: T[], pageSize: number, tokenBehind: (last: T) => string): Page<T> {
  const data = rows.slice(0, pageSize)
  const last = data.at(-1)
  return { data, continuationToken: rows.length > pageSize && last !== undefined ? tokenBehind(last) : null }
}

/** A page of a list whose reader may take fewer items than there are. */
export type OpenPage<T> = {
  items: AsyncIterable<T>
  /** What continues the list behind the item with this id; null when that was the last of all. */
  tokenBehind(id: string): string | null
  /** The same behind all items. */
  tokenAtEnd: string | null
}

/** Cuts one id more than was asked for into a page; `read` reads what the ids stand for, in order. */
export function toOpenPage<I extends { id: string }, T>(
  found: readonly I[],
  pageSize: number,
  tokenFor: (id: string) => string,
  read: (shown: readonly I[]) => AsyncIterable<T>,
): OpenPage<T> {
  const { data, continuationToken: tokenAtEnd } = toPage([...found], pageSize, ({ id }) => tokenFor(id))
  const lastId = data.at(-1)?.id
  return { items: read(data), tokenBehind: (id) => (id === lastId ? tokenAtEnd : tokenFor(id)), tokenAtEnd }
}
