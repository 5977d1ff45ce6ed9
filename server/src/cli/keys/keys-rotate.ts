import { defineCommand, Failure } from '../command.ts'
import { formatTime } from '../table.ts'
import { withServices } from '../with-services.ts'
import { findKey, titleOf } from './find-key.ts'
import { parseGrace } from './key-options.ts'

export const keysRotateCommand = defineCommand({
  usage: 'ID|PREFIX [--grace TIME]',
  details: [
    'Makes a key with the same name, scopes, budget and expiry; standard output gets it and nothing else. Only its hash is',
    'stored, so nobody can ask for it later. ID and PREFIX are what "dramatis keys list" shows.',
    '',
    '  --grace TIME        How long the old key goes on to work: minutes, hours or days, such as 30m, 24h or 7d.',
    '                      It ends at once by default.',
  ].join('\n'),
  options: { grace: { type: 'string' } },
  required: ['ID|PREFIX'],
  run: async ({ values, words, io }) => {
    const graceMs = parseGrace(values.grace)
    await withServices(io, async (services) => {
      const { key, organizationId } = await findKey(services, words[0] as string)
      if (!(await services.apiKeys.isValid(organizationId, key.id)))
        throw new Failure(`${titleOf(key)} is not valid any more: make another one with "dramatis keys create"`)
      const { apiKey, secret, formerExpiresAt } = await services.apiKeys.rotate(organizationId, key.id, graceMs)
      io.stdout.write(`${secret}\n`)
      const end = graceMs === 0 ? 'has ended' : `ends at ${formatTime(formerExpiresAt)}`
      io.stderr.write(
        `Key ${apiKey.id} takes the place of ${titleOf(key)}, which ${end}. The new one is shown this once.\n`,
      )
    })
    return undefined
  },
})
