import { SCOPES } from '../../http/requests/caller.ts'
import { printableLine } from '../../lib/text/printable.ts'
import { defineCommand } from '../command.ts'
import { formatTime } from '../table.ts'
import { findOrganization, ORGANIZATION_HELP, withServices } from '../with-services.ts'
import { parseDailyTokens, parseExpiry, parseName, parseScopes } from './key-options.ts'

export const keysCreateCommand = defineCommand({
  usage: 'NAME [--scopes LIST] [--expires WHEN] [--daily-tokens N] [--organization ID]',
  details: [
    'Standard output gets the key and nothing else. Only its hash is stored, so nobody can ask for it later.',
    '',
    '  --scopes LIST       What it may do, separated by commas, or "all".',
    `                      There are ${SCOPES.slice(0, 5).join(', ')},`,
    `                      ${SCOPES.slice(5).join(', ')}.`,
    '                      Without this option: all that do not administer.',
    '  --expires WHEN      A date such as 2027-01-01 (its first moment in UTC), a time such as',
    '                      2027-01-01T12:00Z, or a number of days such as 30d. Never by default.',
    '  --daily-tokens N    Tokens that it may use in a day (UTC), input and output together.',
    '                      No limit by default.',
    ORGANIZATION_HELP,
  ].join('\n'),
  options: {
    scopes: { type: 'string' },
    expires: { type: 'string' },
    'daily-tokens': { type: 'string' },
    organization: { type: 'string' },
  },
  required: ['NAME'],
  run: async ({ values, words, io }) => {
    const name = parseName(words[0] as string)
    const scopes = parseScopes(values.scopes)
    const expiresAt = values.expires === undefined ? null : parseExpiry(values.expires, Date.now())
    const dailyTokens = parseDailyTokens(values['daily-tokens'])
    await withServices(io, async (services) => {
      const organization = await findOrganization(services, values.organization)
      const { apiKey, secret } = await services.apiKeys.create(organization.id, {
        name,
        scopes,
        expiresAt,
        dailyTokens,
      })
      io.stdout.write(`${secret}\n`)
      const expiry = expiresAt === null ? '' : `, until ${formatTime(expiresAt)}`
      const budget = dailyTokens === null ? '' : `, with ${dailyTokens} tokens a day`
      io.stderr.write(
        `Key ${apiKey.id} of ${printableLine(organization.name)} may use ${apiKey.scopes.join(', ')}${expiry}${budget}. It is shown this once.\n`,
      )
    })
    return undefined
  },
})
