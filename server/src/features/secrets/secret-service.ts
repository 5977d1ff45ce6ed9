import { AppError } from '../../errors.ts'
import type { Clock } from '../../lib/clock.ts'
import { type Database, writeOr } from '../../storage/database.ts'
import { seal, unseal } from './seal.ts'
import { deleteSecret, putSecret, selectSecret, selectSecretNames } from './secret-queries.ts'

/** A secret, without what it holds. */
export type SecretName = { name: string; createdAt: number; modifiedAt: number }
export type SecretService = ReturnType<typeof createSecretService>

/** Named values that only the server itself can read. `key` has 32 bytes; without it nothing can be kept. */
export function createSecretService(deps: { database: Database; clock: Clock; key: Buffer | null }) {
  const { database, clock, key } = deps
  const contextOf = (organizationId: string, name: string) => `${organizationId} ${name}`

  function neededKey(): Buffer {
    if (key) return key
    const how = 'set it to 32 random bytes in base64 and start the server again'
    throw new AppError('unprocessable_entity', `secrets need DRAMATIS_SECRET_KEY, which is not set: ${how}`)
  }

  return {
    /** Keeps a value under a name. Throws 422 when the server has no key to encrypt it with. */
    async put(organizationId: string, name: string, value: string): Promise<void> {
      const sealed = seal(neededKey(), contextOf(organizationId, name), value)
      await database.write([putSecret(database, { organizationId, name, sealed, at: clock() })])
    },

    async list(organizationId: string): Promise<SecretName[]> {
      const rows = await selectSecretNames(database, { organizationId })
      return rows.map(({ name, created_at, modified_at }) => ({ name, createdAt: created_at, modifiedAt: modified_at }))
    },

    /** Throws 404 when there is none. */
    async remove(organizationId: string, name: string): Promise<void> {
      const missing = () => new AppError('not_found', 'there is no such secret')
      await writeOr(database, [deleteSecret(database, { organizationId, name })], missing)
    },

    /** What a secret holds, for the server's own use; null when there is none, or the key does not open it. */
    async reveal(organizationId: string, name: string): Promise<string | null> {
      const row = (await selectSecret(database, { organizationId, name }))[0]
      return row && key ? unseal(key, contextOf(organizationId, name), row.sealed) : null
    },
  }
}
