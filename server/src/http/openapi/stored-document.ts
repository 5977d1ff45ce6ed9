import { createHash } from 'node:crypto'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import type { FastifyReply, FastifyRequest } from 'fastify'

/** Something that is the same for everybody, ready to be sent. */
export type StoredDocument = {
  contentType: string
  /** The header `cache-control`. */
  caching: string
  /** Weak (RFC 9110, section 8.8.3), because both forms have it. */
  etag: string
  plain: Buffer
  gzipped: Buffer
}

export async function createDocument(plain: Buffer, contentType: string, caching: string): Promise<StoredDocument> {
  const etag = `W/"${createHash('sha256').update(plain).digest('base64url').slice(0, 22)}"`
  return { contentType, caching, etag, plain, gzipped: await promisify(gzip)(plain, { level: 9 }) }
}

/** Answers with a document: packed if the client takes that, and with nothing if it has it already. */
export function answerDocument(request: FastifyRequest, reply: FastifyReply, document: StoredDocument): FastifyReply {
  const { 'if-none-match': known, 'accept-encoding': encodings } = request.headers
  reply.headers({ 'cache-control': document.caching, etag: document.etag })
  addVary(reply)
  if (known !== undefined && isAmong(document.etag, known)) return reply.code(304).send()
  reply.type(document.contentType)
  if (!takesGzip(encodings)) return reply.send(document.plain)
  return reply.header('content-encoding', 'gzip').send(document.gzipped)
}

/** Behind what is there already: with CORS an answer varies with the origin too. */
function addVary(reply: FastifyReply): void {
  const before = reply.getHeader('vary')
  reply.header('vary', before === undefined ? 'accept-encoding' : `${before}, accept-encoding`)
}

function isAmong(etag: string, list: string): boolean {
  const opaque = (tag: string) => tag.trim().replace(/^W\//, '')
  return list.trim() === '*' || list.split(',').some((tag) => opaque(tag) === opaque(etag))
}

function takesGzip(encodings: string | string[] | undefined): boolean {
  return [encodings ?? []]
    .flat()
    .join(',')
    .split(',')
    .some((one) => /^\s*(x-)?gzip\s*(;\s*q=(?!0(\.0*)?\s*$).*)?$/i.test(one))
}
