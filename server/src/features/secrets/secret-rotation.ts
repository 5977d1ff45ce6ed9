import type { Database } from '../../storage/database.ts'
import { keyIdOf, openSecret, type SealedSecret, type SecretKeys, sealSecret, UNMARKED } from './secret-keys.ts'
import { countWithKey, resealSecret, selectNextKeyId, selectWithKey } from './secret-queries.ts'

type Readable = Pick<Database, 'dialect' | 'read'>

/** Secrets of all organizations, as far as their keys are concerned. */
export type SecretsState = {
  /** No key that is given opens them. */
  unreadable: number
  /** A previous key opens them: they were, or have yet to be, sealed anew. */
  former: number
}

/** How many are read, and written in one batch: other writes wait for it. */
const AT_ONCE = 100
const BEFORE_ALL = { organizationId: '00000000-0000-0000-0000-000000000000', name: '' }

/**
 * Seals with the current key what a previous one opens, and marks what nobody has marked. Several servers may do so at
 * the same time, and what was stopped halfway is gone on with. Without a current key nothing is changed.
 */
export async function sealAnew(database: Database, keys: SecretKeys): Promise<SecretsState> {
  return survey(database, keys, async (opened) => {
    const { current } = keys
    if (current === null) return
    const statements = opened.map(({ value, secret: { organizationId, name, sealed: before } }) => {
      const sealed = sealSecret(current, { organizationId, name, value })
      return resealSecret(database, { organizationId, name, before, sealed, keyId: keyIdOf(current) })
    })
    await database.write(statements)
  })
}

/** The same without changing anything. */
export function examineSecrets(database: Readable, keys: SecretKeys): Promise<SecretsState> {
  return survey(database, keys, async () => {})
}

type Opened = { value: string; secret: SealedSecret }

/** Looks at everything that the current key is not known to open; of what an unknown key has closed it only counts the rows. */
async function survey(
  database: Readable,
  keys: SecretKeys,
  withOpened: (opened: readonly Opened[]) => Promise<void>,
): Promise<SecretsState> {
  const state = { unreadable: 0, former: 0 }
  const currentId = keys.current && keyIdOf(keys.current)
  const mayOpen = new Set([UNMARKED, ...keys.previous.map(keyIdOf)])
  for (let keyId = ''; ; ) {
    const next = (await selectNextKeyId(database, { after: keyId }))[0]
    if (!next) return state
    keyId = next.key_id
    if (keyId === currentId) continue
    if (!mayOpen.has(keyId)) {
      state.unreadable += Number((await countWithKey(database, { keyId }))[0]?.count)
      continue
    }
    for await (const secrets of withKey(database, keyId)) {
      const opened: Opened[] = []
      for (const secret of secrets) {
        const found = openSecret(keys, secret)
        if (found === null) state.unreadable++
        else opened.push({ value: found.value, secret })
        if (found?.isPrevious) state.former++
      }
      if (opened.length > 0) await withOpened(opened)
    }
  }
}

async function* withKey(database: Readable, keyId: string): AsyncGenerator<SealedSecret[]> {
  for (let last: { organizationId: string; name: string } | undefined = BEFORE_ALL; last; ) {
    const rows = await selectWithKey(database, {
      keyId,
      organizationId: last.organizationId,
      name: last.name,
      limit: AT_ONCE,
    })
    const secrets: SealedSecret[] = rows.map((row) => ({
      organizationId: row.organization_id,
      name: row.name,
      sealed: row.sealed,
    }))
    yield secrets
    last = secrets.length < AT_ONCE ? undefined : secrets.at(-1)
  }
}

/** What keeps secrets shut, in a sentence for the operator; null when nothing does. */
export function describeUnreadable({ unreadable }: SecretsState, { current }: SecretKeys): string | null {
  if (unreadable === 0) return null
  const [what, them] = unreadable === 1 ? ['1 stored secret', 'it'] : [`${unreadable} stored secrets`, 'them']
  const fails = `the tools that name ${them} fail`
  if (current === null) return `${what} cannot be opened, because DRAMATIS_SECRET_KEY is not set: ${fails}`
  return `${what} cannot be opened, because another DRAMATIS_SECRET_KEY has encrypted ${them}: ${fails} until DRAMATIS_SECRET_KEY_PREVIOUS names that key, or PUT /secrets/{name} gives new values`
}

/** Does {@link sealAnew} at the start of a server, and says what came of it. */
export async function tendSecrets(deps: {
  database: Database
  keys: SecretKeys
  log: { warn(message: string): void; info(message: string): void }
}): Promise<void> {
  const { database, keys, log } = deps
  const state = await sealAnew(database, keys)
  const complaint = describeUnreadable(state, keys)
  if (complaint !== null) log.warn(complaint)
  if (keys.previous.length === 0) return
  const left = 'when every server has been started with the new key, DRAMATIS_SECRET_KEY_PREVIOUS can go'
  log.info(`secrets sealed anew with DRAMATIS_SECRET_KEY: ${state.former}; ${left}`)
}
