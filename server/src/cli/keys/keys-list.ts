import type { ApiKey } from '../../features/api-keys/api-key-service.ts'
import type { Organization } from '../../features/organizations/organization-service.ts'
import { SCOPES } from '../../http/requests/caller.ts'
import { defineCommand } from '../command.ts'
import { formatJson, formatTable, formatTime, isoTime, JSON_HELP, JSON_OPTION } from '../table.ts'
import { findOrganization, withServices } from '../with-services.ts'

type Listed = { key: ApiKey; organization: Organization; status: string }

export const keysListCommand = defineCommand({
  usage: '[--organization ID] [--json]',
  details: ['  --organization ID   Of this organization only; of all of them by default.', JSON_HELP].join('\n'),
  options: { organization: { type: 'string' }, ...JSON_OPTION },
  run: async ({ values, io }) => {
    const listed = await withServices(io, async (services) => {
      const organizations =
        values.organization === undefined
          ? await services.organizations.list()
          : [await findOrganization(services, values.organization)]
      const lists = await Promise.all(
        organizations.map(async (organization) => {
          const keys = await services.apiKeys.list(organization.id)
          return keys.map((key): Listed => ({ key, organization, status: statusOf(key, Date.now()) }))
        }),
      )
      return lists.flat()
    })
    const heading = [
      'PREFIX',
      'STATUS',
      'NAME',
      'SCOPES',
      'TOKENS TODAY',
      'CREATED',
      'EXPIRES',
      'LAST USED',
      'ORGANIZATION',
      'ID',
    ]
    io.stdout.write(values.json ? formatJson(listed.map(toJson)) : formatTable([heading, ...listed.map(toRow)]))
    return undefined
  },
})

function toRow({ key, organization, status }: Listed): string[] {
  const scopes = key.scopes.length === SCOPES.length ? 'all' : key.scopes.join(',')
  const times = [key.createdAt, key.expiresAt, key.lastUsedAt].map(formatTime)
  return [key.prefix, status, key.name, scopes, tokensOf(key), ...times, organization.name, key.id]
}

/** What it has used today of what it may use; keys without a limit are not counted. */
function tokensOf({ dailyTokens, tokensUsedToday }: ApiKey): string {
  return dailyTokens === null ? '-' : `${tokensUsedToday ?? 0} of ${dailyTokens}`
}

function toJson({ key, organization, status }: Listed): object {
  const { id, name, prefix, scopes, dailyTokens, tokensUsedToday } = key
  return {
    id,
    name,
    prefix,
    status,
    scopes,
    organizationId: organization.id,
    dailyTokens,
    tokensUsedToday,
    createdAt: isoTime(key.createdAt),
    expiresAt: isoTime(key.expiresAt),
    revokedAt: isoTime(key.revokedAt),
    lastUsedAt: isoTime(key.lastUsedAt),
  }
}

function statusOf({ revokedAt, expiresAt }: ApiKey, now: number): string {
  if (revokedAt !== null) return 'revoked'
  return expiresAt !== null && expiresAt <= now ? 'expired' : 'valid'
}
