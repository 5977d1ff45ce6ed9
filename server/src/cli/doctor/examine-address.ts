import type { Config } from '../../config.ts'
import { type Finding, note, ok } from './finding.ts'

const TIMEOUT_MS = 3_000

/** Whether something of ours answers where a server with this configuration would listen. */
export async function examineAddress(config: Pick<Config, 'host' | 'port' | 'tls'>): Promise<Finding> {
  const isAny = config.host === '0.0.0.0' || config.host === '::'
  const host = isAny ? '127.0.0.1' : config.host.includes(':') ? `[${config.host}]` : config.host
  const url = `${config.tls ? 'https' : 'http'}://${host}:${config.port}`
  try {
    const response = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(TIMEOUT_MS) })
    const body = (await response.json()) as { status?: unknown; error?: { message?: unknown } }
    if (body.status === 'ready') return ok('address', `a server answers at ${url} and is ready`)
    return note('address', `what answers at ${url} is not ready: ${String(body.error?.message ?? response.status)}`)
  } catch {
    return note('address', `no server of ours answers at ${url}`)
  }
}
