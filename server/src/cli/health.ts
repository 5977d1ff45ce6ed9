import type { IncomingMessage } from 'node:http'
import { defineCommand, Failure } from './command.ts'

/** Milliseconds that the server may take: whoever asks, asks again soon. */
const TIMEOUT_MS = 2_000

export const healthCommand = defineCommand({
  usage: '',
  details: [
    'Asks /healthz of the server on this machine, at the PORT that it has by the same variables, and ends with 0 if the',
    'server lives. For what watches containers; it needs no key and no other program.',
  ].join('\n'),
  options: {},
  run: async ({ io }) => {
    const { env } = io
    const secure = (env['DRAMATIS_TLS_CERT']?.trim() ?? '') !== ''
    const host = loopbackOf(env['HOST']?.trim() || '127.0.0.1')
    const url = `${secure ? 'https' : 'http'}://${host}:${env['PORT']?.trim() || '8787'}/healthz`
    const status = await ask(url, secure)
    if (status !== 200) throw new Failure(`${url} answers ${status}`)
    io.stdout.write(`${url} answers 200.\n`)
    return undefined
  },
})

/** Where a server that listens on `host` is to be reached from its own machine. */
function loopbackOf(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1'
  if (host === '::') return '[::1]'
  return host.includes(':') ? `[${host}]` : host
}

async function ask(url: string, secure: boolean): Promise<number | undefined> {
  const { get } = secure ? await import('node:https') : await import('node:http')
  // The certificate is for the name that others know, and nothing secret is sent.
  const options = { timeout: TIMEOUT_MS, agent: false as const, rejectUnauthorized: false }
  return new Promise((resolve, reject) => {
    const request = get(url, options, (response: IncomingMessage) => {
      response.resume()
      resolve(response.statusCode)
    })
    request.on('timeout', () => request.destroy(new Error(`no answer within ${TIMEOUT_MS} ms`)))
    request.on('error', (error) => reject(new Failure(`${url} cannot be reached: ${error.message}`)))
  })
}
