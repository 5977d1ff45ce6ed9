import { AppError, badField } from '../../errors.ts'
import type { Scope } from '../../http/requests/caller.ts'
import type { JsonObject } from '../../lib/json.ts'
import { mayGoTo } from '../secrets/secret-hosts.ts'
import type { SecretHosts } from '../secrets/secret-service.ts'
import { SECRET } from './check-tools.ts'
import { toolsOf } from './tool-settings.ts'

/** What it takes to write a tool that reaches out into the configuration of a conversation. */
const NEEDED: Scope = 'tools:write'

/**
 * Checks who writes the tools of a conversation's own configuration: those of the client are the caller's own business,
 * the others act with the server's connections, secrets and processes. Throws 403 naming the first that the key may not write.
 */
export function checkMayReachOut(
  field: string,
  configuration: JsonObject | null | undefined,
  scopes: ReadonlySet<Scope>,
): void {
  if (scopes.has(NEEDED)) return
  const at = toolsOf(configuration ?? null).findIndex(({ type }) => type !== 'client')
  if (at < 0) return
  const issue = `needs the scope ${NEEDED}, which the API key lacks; a persona may have such tools, and a conversation tools of the type client`
  const toolField = `${field}.tools.${at}`
  throw new AppError('forbidden', `${toolField} ${issue}`, { details: [{ field: toolField, issue }] })
}

/** Checks where the secrets of tools are to go. A secret that there is not yet is checked when a tool is called. */
export type CheckSecretHosts = (
  organizationId: string,
  field: string,
  configuration: JsonObject | null | undefined,
) => Promise<void>

/** Makes a check that throws 400 for a header with a secret that may not go to the tool's host. */
export function createCheckSecretHosts(deps: {
  hostsOf(organizationId: string, name: string): Promise<SecretHosts | undefined>
}): CheckSecretHosts {
  return async (organizationId, field, configuration) => {
    const known = new Map<string, SecretHosts | undefined>()
    for (const [i, tool] of toolsOf(configuration ?? null).entries()) {
      if (tool.type === 'client' || tool.url === undefined) continue
      for (const [header, value] of Object.entries(tool.headers ?? {})) {
        for (const [, inner = ''] of value.matchAll(SECRET)) {
          const name = inner.trim()
          if (!known.has(name)) known.set(name, await deps.hostsOf(organizationId, name))
          if (mayGoTo(known.get(name) ?? null, tool.url)) continue
          const { host } = new URL(tool.url)
          throw badField(
            `${field}.tools.${i}.headers.${header}`,
            `holds the secret ${name}, which may not go to ${host}`,
          )
        }
      }
    }
  }
}
