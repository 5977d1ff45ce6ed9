import { get as getHttp } from 'node:http'
import { get as getHttps } from 'node:https'
import { createServer } from 'node:net'
import type { Config } from '../../config/config.ts'
import { isJsonObject, type JsonValue } from '../../lib/json.ts'
import { broken, type Finding, note, ok } from './finding.ts'

const TIMEOUT_MS = 3_000

/** More than `/readyz` ever says. */
const MAX_ANSWER_CHARACTERS = 10_000

const REASONS: Record<string, string> = {
  EADDRINUSE: 'something that is no Dramatis server uses it',
  EACCES: 'this user may not listen there',
  EADDRNOTAVAIL: 'HOST is no address of this machine',
  ENOTFOUND: 'nobody knows this HOST',
}

/** Whether a server of ours answers where one with this configuration would listen, or could listen there. */
export async function examineAddress({ host, port, tls }: Pick<Config, 'host' | 'port' | 'tls'>): Promise<Finding> {
  if (port === 0) return note('address', 'PORT is 0: the system chooses another port at each start')
  const isAny = host === '0.0.0.0' || host === '::'
  const name = isAny ? '127.0.0.1' : host.includes(':') ? `[${host}]` : host
  const url = `${tls ? 'https' : 'http'}://${name}:${port}`
  const answer = await ask(`${url}/readyz`)
  if (isJsonObject(answer)) {
    if (answer['status'] === 'ready') return ok('address', `a server answers at ${url} and is ready`)
    const error = answer['error']
    if (isJsonObject(error) && error['code'] === 'unavailable')
      return broken('address', `the server at ${url} is not ready: ${error['message']}`)
  }
  const obstacle = await tryToListen(host, port)
  if (obstacle === null) return note('address', `no server answers at ${url}, and the port is free`)
  return broken('address', `no server can listen at ${url}: ${REASONS[obstacle] ?? obstacle}`)
}

/** What is answered, as JSON; null for silence and whatever else. */
function ask(url: string): Promise<JsonValue> {
  return new Promise((resolve) => {
    const get = url.startsWith('https:') ? getHttps : getHttp
    // No secret is sent, and the certificate of a server is rarely made for the address it listens on.
    const options = { rejectUnauthorized: false, timeout: TIMEOUT_MS, signal: AbortSignal.timeout(TIMEOUT_MS) }
    const request = get(url, options, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('error', () => resolve(null))
      response.on('data', (piece: string) => {
        text += piece
        if (text.length > MAX_ANSWER_CHARACTERS) request.destroy()
      })
      response.on('close', () => resolve(parse(text)))
    })
    request.on('error', () => resolve(null))
  })
}

function parse(text: string): JsonValue {
  try {
    return JSON.parse(text) as JsonValue
  } catch {
    return null
  }
}

/** The code of the error that stands in the way of listening there; null when nothing does. */
function tryToListen(host: string, port: number): Promise<string | null> {
  return new Promise((resolve) => {
    const server = createServer()
    server.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    server.listen({ host, port }, () => server.close(() => resolve(null)))
  })
}
