import { AppError } from '../../errors.ts'
import type { Clock } from '../../lib/clock.ts'
import { arrayFromText, textFromJson } from '../../lib/json.ts'
import { type Database, writeOr } from '../../storage/database.ts'
import { seal, unseal } from './seal.ts'
import { deleteSecret, putSecret, renewSecret, selectSecret, selectSecretNames } from './secret-queries.ts'

/** Where a secret may go, as `mayGoTo` reads it; null for any host. */
export type SecretHosts = string[] | null
/** A secret, without what it holds. */
export type SecretName = { name: string; hosts: SecretHosts; createdAt: number; modifiedAt: number }
/** What a secret holds. */
export type Secret = { value: string; hosts: SecretHosts }
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
    /**
     * Keeps a value under a name. Without `hosts` a secret that is there keeps its own, so that a new value never goes
     * farther than the old one. Throws 422 when the server has no key to encrypt it with.
     */
    async put(organizationId: string, name: string, value: string, hosts?: SecretHosts): Promise<void> {
      const sealed = seal(neededKey(), contextOf(organizationId, name), value)
      const secret = { organizationId, name, sealed, at: clock() }
      const statement =
        hosts === undefined
          ? renewSecret(database, secret)
          : putSecret(database, { ...secret, hosts: textFromJson(hosts) })
      await database.write([statement])
    },

    async list(organizationId: string): Promise<SecretName[]> {
      const rows = await selectSecretNames(database, { organizationId })
      return rows.map(({ name, hosts, created_at, modified_at }) => ({
        name,
        hosts: arrayFromText<string>(hosts),
        createdAt: created_at,
        modifiedAt: modified_at,
      }))
    },

    /** Throws 404 when there is none. */
    async remove(organizationId: string, name: string): Promise<void> {
      const missing = () => new AppError('not_found', 'there is no such secret')
      await writeOr(database, [deleteSecret(database, { organizationId, name })], missing)
    },

    /** Where a secret may go; undefined when there is none. */
    async hostsOf(organizationId: string, name: string): Promise<SecretHosts | undefined> {
      const row = (await selectSecret(database, { organizationId, name }))[0]
      return row && arrayFromText<string>(row.hosts)
    },

    /** What a secret holds, for the server's own use; null when there is none, or the key does not open it. */
    async reveal(organizationId: string, name: string): Promise<Secret | null> {
      const row = (await selectSecret(database, { organizationId, name }))[0]
      const value = row && key ? unseal(key, contextOf(organizationId, name), row.sealed) : null
      return row && value !== null ? { value, hosts: arrayFromText<string>(row.hosts) } : null
    },
  }
}
