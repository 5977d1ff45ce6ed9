import type { FastifyReply, FastifyRequest } from 'fastify'
import { AppError } from '../../errors.ts'
import { isHttp2 } from './unread-bodies.ts'

/*
 * What is valid HTTP and can be read in two ways: a proxy that reads it one way and the server that reads it the other
 * would not agree who is asked for what. Such requests are refused.
 */

const HTTP1: ReadonlySet<string> = new Set(['1.0', '1.1'])

/** A name or an address, and perhaps a port. */
const HOST = /^([\w.-]+|\[[0-9a-f:.]+\])(:\d{1,5})?$/i
const ABSOLUTE_TARGET = /^https?:\/\/([^/?#]*)/i

/**
 * Headers that decide who is asked and who asks, by their lengths: so that all others cost one comparison of numbers.
 * Lengths of bodies are the parser's business, which refuses two of them, and one beside a transfer encoding.
 */
const ONCE: ReadonlyMap<number, string> = new Map(
  ['host', 'x-hl-api-key', 'authorization'].map((name) => [name.length, name]),
)

/** Requests that may wait on a connection of HTTP/1.1 for the answers before theirs. */
export const MOST_PIPELINED = 32

/** What is wrong with the frame of a request, null if nothing is. */
export function findAmbiguity({ raw }: FastifyRequest): AppError | null {
  if (!isHttp2(raw) && !HTTP1.has(raw.httpVersion)) return refusal('its version is not that of the connection')
  const twice = findTwice(raw.rawHeaders)
  if (twice !== null) return refusal(`the header ${twice} stands in it twice`)
  const { host } = raw.headers
  const authority = raw.headers[':authority'] as string | undefined
  const name = host ?? authority
  // HTTP/1.0 knows no host.
  if (name === undefined) {
    return raw.httpVersion === '1.0' ? null : refusal('it has no host')
  }
  if (!HOST.test(name)) return refusal('its host is no name of a host')
  if (authority !== undefined && host !== undefined && !isSame(authority, host)) {
    return refusal('its headers host and :authority differ')
  }
  return findOtherTarget(raw, name)
}

function findOtherTarget(raw: FastifyRequest['raw'] & { originalUrl?: string }, host: string): AppError | null {
  const target = raw.originalUrl ?? raw.url ?? '/'
  if (target.startsWith('/') || target === '*') return null
  const [, authority] = ABSOLUTE_TARGET.exec(target) ?? []
  if (authority === undefined) return refusal('its target is neither a path nor an address')
  return isSame(authority, host) ? null : refusal('its target and its header host differ')
}

function findTwice(rawHeaders: readonly string[]): string | null {
  let seen = 0
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] as string
    const known = ONCE.get(name.length)
    if (known === undefined || name.toLowerCase() !== known) continue
    const bit = 1 << name.length
    if ((seen & bit) !== 0) return known
    seen |= bit
  }
  return null
}

const isSame = (one: string, other: string) => one.toLowerCase() === other.toLowerCase()

function refusal(what: string): AppError {
  return new AppError('bad_request', `the request can be read in two ways: ${what}`)
}

/** The path of a target that names the whole address, which proxies are sent, and servers have to take. */
export function pathOf(target: string): string {
  if (target.startsWith('/')) return target
  const path = target.replace(ABSOLUTE_TARGET, '')
  return path.startsWith('?') || path === '' ? `/${path}` : path
}

/** Counts the requests of each connection that wait for an answer before theirs; true for one too many. */
export function createPipelineLimit(): (request: FastifyRequest, reply: FastifyReply) => boolean {
  const waiting = new WeakMap<object, number>()
  return ({ raw }, reply) => {
    // An answer that is not the next one has not been given the connection yet.
    if (isHttp2(raw) || reply.raw.socket !== null) return false
    const { socket } = raw
    const before = waiting.get(socket) ?? 0
    if (before >= MOST_PIPELINED) return true
    waiting.set(socket, before + 1)
    reply.raw.once('close', () => waiting.set(socket, (waiting.get(socket) ?? 1) - 1))
    return false
  }
}
