import { AppError } from '../../errors.ts'
import type { Clock } from '../../lib/clock.ts'
import { arrayFromText, textFromJson } from '../../lib/json.ts'
import { type Database, writeOr } from '../../storage/database.ts'
import { keyIdOf, openSecret, type SecretKeys, sealSecret } from './secret-keys.ts'
import { deleteSecret, putSecret, renewSecret, selectSecret, selectSecrets } from './secret-queries.ts'

/** Where a secret may go, as `mayGoTo` reads it; null for any host. */
export type SecretHosts = string[] | null
/** A secret, without what it holds. */
export type SecretName = {
  name: string
  hosts: SecretHosts
  /** Whether a key that is given opens it. */
  isReadable: boolean
  createdAt: number
  modifiedAt: number
}
/** What a secret holds. */
export type Secret = { value: string; hosts: SecretHosts }
/** Why there is nothing to see: there is no such secret, or no key for secrets, or another one has encrypted it. */
export type Hidden = 'absent' | 'without_key' | 'other_key'
export type SecretService = ReturnType<typeof createSecretService>

/** Named values that only the server itself can read. Without a current key nothing can be kept. */
export function createSecretService(deps: { database: Database; clock: Clock; keys: SecretKeys }) {
  const { database, clock, keys } = deps

  function neededKey(): Buffer {
    if (keys.current) return keys.current
    const how = 'set it to 32 random bytes in base64 and start the server again'
    throw new AppError('unprocessable_entity', `secrets need DRAMATIS_SECRET_KEY, which is not set: ${how}`)
  }

  return {
    /**
     * Keeps a value under a name. Without `hosts` a secret that is there keeps its own, so that a new value never goes
     * farther than the old one. Throws 422 when the server has no key to encrypt it with.
     */
    async put(organizationId: string, name: string, value: string, hosts?: SecretHosts): Promise<void> {
      const key = neededKey()
      const sealed = sealSecret(key, { organizationId, name, value })
      const secret = { organizationId, name, sealed, keyId: keyIdOf(key), at: clock() }
      const statement =
        hosts === undefined
          ? renewSecret(database, secret)
          : putSecret(database, { ...secret, hosts: textFromJson(hosts) })
      await database.write([statement])
    },

    async list(organizationId: string): Promise<SecretName[]> {
      const rows = await selectSecrets(database, { organizationId })
      return rows.map(({ name, sealed, hosts, created_at, modified_at }) => ({
        name,
        hosts: arrayFromText<string>(hosts),
        isReadable: openSecret(keys, { organizationId, name, sealed }) !== null,
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

    /** What a secret holds, for the server's own use, or why nobody knows. */
    reveal: (organizationId: string, name: string): Promise<Secret | Hidden> =>
      revealSecret(database, keys, { organizationId, name }),
  }
}

/** What a secret holds, or why nobody knows. */
export async function revealSecret(
  database: Pick<Database, 'dialect' | 'read'>,
  keys: SecretKeys,
  { organizationId, name }: { organizationId: string; name: string },
): Promise<Secret | Hidden> {
  const row = (await selectSecret(database, { organizationId, name }))[0]
  if (!row) return 'absent'
  const opened = openSecret(keys, { organizationId, name, sealed: row.sealed })
  if (opened === null) return keys.current === null ? 'without_key' : 'other_key'
  return { value: opened.value, hosts: arrayFromText<string>(row.hosts) }
}
