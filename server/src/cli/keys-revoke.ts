import type { Services } from '../app.ts'
import type { ApiKey } from '../features/api-keys/api-key-service.ts'
import { printableLine } from '../lib/printable.ts'
import { defineCommand, Failure } from './command.ts'
import { formatTime } from './table.ts'
import { withServices } from './with-services.ts'

type Found = { key: ApiKey; organizationId: string }

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
      const { key, organizationId } = pickOne(await findKeys(services, wanted))
      const title = `${key.prefix}… (${printableLine(key.name)}, ${key.id})`
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

async function findKeys({ organizations, apiKeys }: Services, wanted: string): Promise<Found[]> {
  const lists = await Promise.all(
    (await organizations.list()).map(async ({ id: organizationId }) =>
      (await apiKeys.list(organizationId)).map((key) => ({ key, organizationId })),
    ),
  )
  return lists.flat().filter(({ key }) => key.id === wanted.toLowerCase() || key.prefix === wanted)
}

function pickOne(found: readonly Found[]): Found {
  const valid = found.filter(({ key }) => key.revokedAt === null)
  if (valid.length > 1) {
    throw new Failure(
      `${valid.length} keys begin like this: name one by its id (${valid.map(({ key }) => key.id).join(', ')})`,
    )
  }
  const one = valid[0] ?? found[0]
  // What was given is not repeated: it may be a whole key.
  if (!one) throw new Failure('no key has this id or prefix: "dramatis keys list" shows them')
  return one
}
