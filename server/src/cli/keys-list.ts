import type { ApiKey } from '../features/api-keys/api-key-service.ts'
import { SCOPES } from '../http/caller.ts'
import { defineCommand } from './command.ts'
import { formatTable, formatTime } from './table.ts'
import { findOrganization, withServices } from './with-services.ts'

export const keysListCommand = defineCommand({
  name: 'keys list',
  usage: '[--organization ID]',
  summary: 'List the API keys, revoked ones included',
  details: '  --organization ID   Of this organization only; of all of them by default.',
  options: { organization: { type: 'string' } },
  run: async ({ values, io }) => {
    const rows = await withServices(io, async (services) => {
      const organizations =
        values.organization === undefined
          ? await services.organizations.list()
          : [await findOrganization(services, values.organization)]
      const lists = await Promise.all(
        organizations.map(async ({ id, name }) => {
          const keys = await services.apiKeys.list(id)
          return keys.map((key) => toRow(key, name, Date.now()))
        }),
      )
      return lists.flat()
    })
    const heading = ['PREFIX', 'STATUS', 'NAME', 'SCOPES', 'CREATED', 'EXPIRES', 'LAST USED', 'ORGANIZATION', 'ID']
    io.stdout.write(formatTable([heading, ...rows]))
    return undefined
  },
})

function toRow(key: ApiKey, organization: string, now: number): string[] {
  const scopes = key.scopes.length === SCOPES.length ? 'all' : key.scopes.join(',')
  const times = [key.createdAt, key.expiresAt, key.lastUsedAt].map(formatTime)
  return [key.prefix, statusOf(key, now), key.name, scopes, ...times, organization, key.id]
}

function statusOf({ revokedAt, expiresAt }: ApiKey, now: number): string {
  if (revokedAt !== null) return 'revoked'
  return expiresAt !== null && expiresAt <= now ? 'expired' : 'valid'
}
