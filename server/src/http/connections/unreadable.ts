import type { Socket } from 'node:net'
import type { FastifyBaseLogger } from 'fastify'
import { SAFE_HEADERS } from '../answers/safe-headers.ts'
import type { Patience } from './patience.ts'
import { closeGently } from './unread-bodies.ts'

type ParseError = Error & { code?: string }
type Options = { log: FastifyBaseLogger; nextRequestId: () => string; patience: Patience }

const MESSAGES: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: 'the headers are too large',
  ERR_HTTP_REQUEST_TIMEOUT: 'the request did not come in time',
}

/** What does not even parse as HTTP gets the contract's error body too. */
export function answerUnreadable(error: ParseError, socket: Socket, { log, nextRequestId, patience }: Options): void {
  const hasSaidNothing = socket.bytesRead === 0
  if (error.code === 'ECONNRESET' || hasSaidNothing || !socket.writable || isAnswering(socket)) {
    socket.destroy()
    return
  }
  const message = MESSAGES[error.code ?? ''] ?? 'this is not a valid HTTP request'
  const body = JSON.stringify({ error: { code: 'bad_request', message, details: [] } })
  const requestId = nextRequestId()
  log.info({ requestId, reason: error.code ?? null }, 'unreadable request')
  const head = [
    'HTTP/1.1 400 Bad Request',
    'content-type: application/json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
    `x-request-id: ${requestId}`,
    ...Object.entries(SAFE_HEADERS).map(([name, value]) => `${name}: ${value}`),
    'connection: close',
  ]
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`)
  closeGently(socket, patience.lingerMs)
}

/**
 * Whether an answer to a request before it is on its way: a second one in the middle of it would be taken for its body.
 * Node.js asks the same field before it answers by itself.
 */
function isAnswering(socket: Socket & { _httpMessage?: { headersSent: boolean } | null }): boolean {
  return socket._httpMessage?.headersSent === true
}
