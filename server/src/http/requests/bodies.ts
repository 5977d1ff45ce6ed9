import { isUtf8 } from 'node:buffer'
import { createHash } from 'node:crypto'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { parse as parseJson } from 'secure-json-parse'
import { AppError } from '../../errors.ts'
import { isExactNumber, mayHaveLongNumbers, parseExactly } from '../../lib/exact-json.ts'
import type { MainThread } from '../../lib/fairness/main-thread.ts'
import { type JsonValue, jsonDepthOfText } from '../../lib/json.ts'
import { hasBody } from '../connections/unread-bodies.ts'
import { createLineOfLargeBodies } from '../large-bodies.ts'
import { keepExactNumbers } from './exact-numbers.ts'

/** Real clients send all of these: parameters, malformed ones, and the literal `application/*+json`. */
const JSON_TYPE = /^\s*(application\/(json|[\w.!#$&^+-]+\+json|\*\+json)|text\/json)\s*(;|,|$)/i
const MAX_DEPTH = 64
/** Bytes of a body that takes milliseconds to read. */
const LARGE = 65_536

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The body is a file of any type, see {@link fileBodyOf}. */
    takesFile?: boolean
  }
}

/** A body that is a file: its bytes do not show when it is written as JSON, and their hash does. */
export type FileBody = { contentType: string; sha256: string; bytes: Buffer }

/** The body of a route with `takesFile`. */
export function fileBodyOf(body: unknown): FileBody {
  const { contentType = '', sha256 = '', bytes = Buffer.alloc(0) } = body as Partial<FileBody>
  return { contentType, sha256, bytes }
}

function toFileBody(contentType: string, bytes: Buffer): object {
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  return Object.defineProperty({ contentType, sha256 }, 'bytes', { value: bytes, enumerable: false })
}

/**
 * Reads bodies as the contract says (section 3): JSON under many names, and an empty body is `{}` whatever its type. Large
 * ones wait for each other.
 */
export function readBodies(app: FastifyInstance, mainThread: MainThread): void {
  const line = createLineOfLargeBodies(app, mainThread)
  const exactNumbers = keepExactNumbers(app)
  app.removeAllContentTypeParsers()
  const fileTypes = new WeakMap<FastifyRequest, string>()

  app.addHook('onRequest', (request, _reply, done) => {
    const headers = request.raw.headers
    if (headers['content-type'] === undefined && !hasBody(request.raw)) return done()
    if (request.routeOptions.config.takesFile) {
      fileTypes.set(request, headers['content-type'] ?? '')
      headers['content-type'] = 'application/octet-stream'
      return done()
    }
    // Fastify refuses a malformed type before any parser sees it, so the type is settled here.
    headers['content-type'] = JSON_TYPE.test(headers['content-type'] ?? '')
      ? 'application/json'
      : 'application/octet-stream'
    done()
  })

  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, async (request: FastifyRequest, body: Buffer) => {
    if (body.length >= LARGE) await line.enter(request)
    return parseBody(body, (exact) => exactNumbers.keep(request, exact))
  })
  app.addContentTypeParser('*', { parseAs: 'buffer' }, async (request: FastifyRequest, body: Buffer) => {
    const fileType = fileTypes.get(request)
    if (fileType !== undefined) {
      if (body.length >= LARGE) await line.enter(request)
      return toFileBody(fileType, body)
    }
    if (body.length === 0) return {}
    throw new AppError(
      'unsupported_media_type',
      'the body must be JSON: send the header content-type: application/json',
    )
  })
  app.addHook('preValidation', (request, _reply, done) => {
    request.body ??= {}
    done()
  })
}

/**
 * JSON bytes as a value that every part of the server can hold: valid UTF-8, no NUL (PostgreSQL cannot store it), no
 * `__proto__`, at most 64 levels; half surrogate pairs become U+FFFD. `onLongNumbers` gets the same with every number as it
 * was sent, where there may be one that JavaScript cannot hold. Throws 400 `bad_request`.
 */
export function parseBody(body: Buffer, onLongNumbers?: (exact: JsonValue) => void): unknown {
  if (body.length === 0) return {}
  if (!isUtf8(body)) throw new AppError('bad_request', 'the body is not valid UTF-8')
  const text = body.toString('utf8')
  if (text.trim() === '') return {}
  let value: unknown
  try {
    value = parseJson(text, null, { protoAction: 'error', constructorAction: 'error' })
  } catch (error) {
    throw new AppError('bad_request', `the body is not valid JSON: ${(error as Error).message}`)
  }
  if (jsonDepthOfText(body) > MAX_DEPTH) {
    throw new AppError('bad_request', `the body is nested more than ${MAX_DEPTH} levels deep`)
  }
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    throw new AppError('bad_request', 'the body must be a JSON object')
  }
  // Only an escape can bring in a NUL or half a surrogate pair; a raw one is not JSON, or not UTF-8.
  const isEscaped = /\\u(0000|d[89a-f])/i.test(text)
  const checked = isEscaped ? mapStrings(value, '', toStorable) : value
  if (onLongNumbers && mayHaveLongNumbers(text)) {
    const exact = parseExactly(text)
    onLongNumbers(isEscaped ? (mapStrings(exact, '', toStorable) as JsonValue) : exact)
  }
  return checked
}

function toStorable(text: string, field: string): string {
  if (text.includes('\u0000')) {
    const where = field === '' ? 'a name of a field' : field
    throw new AppError('bad_request', `${where} contains a NUL character`, {
      details: [{ field, issue: 'contains a NUL character' }],
    })
  }
  return text.isWellFormed() ? text : text.toWellFormed()
}

function mapStrings(value: unknown, field: string, map: (text: string, field: string) => string): unknown {
  if (typeof value === 'string') return map(value, field)
  if (typeof value !== 'object' || value === null || isExactNumber(value)) return value
  const under = (name: string | number) => (field === '' ? String(name) : `${field}.${name}`)
  if (Array.isArray(value)) return value.map((item, i) => mapStrings(item, under(i), map))
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [map(name, field), mapStrings(item, under(name), map)]),
  )
}
