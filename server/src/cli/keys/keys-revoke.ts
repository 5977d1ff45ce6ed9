import { defineCommand } from '../command.ts'
import { formatTime } from '../table.ts'
import { withServices } from '../with-services.ts'
import { findKey, titleOf } from './find-key.ts'

export const keysRevokeCommand = defineCommand({
  usage: 'ID|PREFIX',
  details: [
    'ID and PREFIX are what "dramatis keys list" shows; the key itself is not needed. A running server refuses the',
    'next request with it. A key that was revoked before stays so, which is no failure.',
  ].join('\n'),
  options: {},
  required: ['ID|PREFIX'],
  run: async ({ words, io }) => {
    const wanted = words[0] as string
    await withServices(io, async (services) => {
      const { key, organizationId } = await findKey(services, wanted)
      const title = titleOf(key)
      if (key.revokedAt !== null) {
        io.stdout.write(`${title} has been revoked already, at ${formatTime(key.revokedAt)}.\n`)
        return
      }
      await services.apiKeys.revoke(organizationId, key.id)
      io.stdout.write(`${title} is revoked.\n`)
    })
    return undefined
  },
})
