import type { ApiKey } from '../../features/api-keys/api-key-service.ts'
import { printableLine } from '../../lib/text/printable.ts'
import type { Services } from '../../services.ts'
import { Failure } from '../command.ts'

type Found = { key: ApiKey; organizationId: string }

/** The key with this id or prefix, one that was not revoked before others. Throws {@link Failure} for none and for several. */
export async function findKey(services: Services, wanted: string): Promise<Found> {
  return pickOne(await findKeys(services, wanted))
}

/** A key as a message names it. */
export function titleOf({ prefix, name, id }: ApiKey): string {
  return `${prefix}… (${printableLine(name)}, ${id})`
}

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
