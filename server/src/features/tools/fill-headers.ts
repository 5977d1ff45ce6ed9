import { mayGoTo } from '../secrets/secret-hosts.ts'
import type { Hidden, Secret } from '../secrets/secret-service.ts'
import { SECRET } from './check-tools.ts'
import { createHideSecrets, type HideSecrets } from './hiding/hide-secrets.ts'
import { ToolError } from './server-tool.ts'

export type FilledHeaders = {
  headers: Record<string, string>
  /** Takes what was filled in out of what comes back. */
  hide: HideSecrets
}

/**
 * Puts secrets into headers that go to `url`. Throws a {@link ToolError} for a secret that there is not, that cannot be
 * opened, or that may not go there.
 */
export type FillHeaders = (headers: Record<string, string>, url: string) => Promise<FilledHeaders>

/** UTF-16 units that may stand around a secret in a header that is hidden as a whole, such as `Bearer `. */
const MOST_AROUND = 64

const WHY_HIDDEN: Record<Hidden, string> = {
  absent: 'is not set.',
  without_key: 'is there, but cannot be opened: the server runs without DRAMATIS_SECRET_KEY.',
  other_key: 'is there, but was encrypted with another DRAMATIS_SECRET_KEY.',
}

/** Makes that. `isDiscreet` says that whoever hears of an error may not know which secrets there are, and where they go. */
export function createFillHeaders(reveal: (name: string) => Promise<Secret | Hidden>, isDiscreet = false): FillHeaders {
  return async (headers, url) => {
    const filled: Record<string, string> = {}
    const secrets: string[] = []
    const wholes: string[] = []
    for (const [header, template] of Object.entries(headers)) {
      const values = new Map<string, string>()
      for (const [, inner = ''] of template.matchAll(SECRET)) {
        const name = inner.trim()
        const secret = await reveal(name)
        const it = isDiscreet ? 'a secret of this tool' : `the secret ${name}`
        if (typeof secret === 'string') throw new ToolError(`${it} ${WHY_HIDDEN[secret]}`)
        if (!mayGoTo(secret.hosts, url)) {
          throw new ToolError(`${it} may not go to ${isDiscreet ? 'its host' : new URL(url).host}.`)
        }
        values.set(name, secret.value)
      }
      const value = template.replaceAll(SECRET, (_match, inner: string) => values.get(inner.trim()) ?? '')
      filled[header] = value
      if (values.size === 0) continue
      secrets.push(...[...values.values()].flatMap(partsOf))
      // What else the author wrote into it is no secret, and a search for much of it would stop everybody.
      if (template.replaceAll(SECRET, '').length <= MOST_AROUND) wholes.push(...partsOf(value))
    }
    return { headers: filled, hide: createHideSecrets(secrets, wholes) }
  }
}

/** A value of a header, what stands behind its scheme, and a user and password that are packed into that (RFC 7617). */
function partsOf(value: string): string[] {
  const [, scheme = '', credentials] = /^(\S+) +(\S.*)$/.exec(value) ?? []
  if (credentials === undefined) return [value]
  const pair = /^basic$/i.test(scheme) ? Buffer.from(credentials, 'base64').toString('utf8') : ''
  const password = pair.slice(pair.indexOf(':') + 1)
  return [value, credentials, ...(pair.includes(':') && password !== '' ? [pair, password] : [])]
}
