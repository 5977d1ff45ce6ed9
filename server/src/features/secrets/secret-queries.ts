import { type Parameters, prepareRead, prepareWrite } from '../../storage/prepare.ts'

type Key = { organizationId: string; name: string }

/** The guard of `deleteSecret`. */
export const SECRET_EXISTS = 'secret_exists'

type NewSecret = Key & { sealed: string; keyId: string; at: number }

/** Stores a secret, in the place of one with the same name if there is one. */
export const putSecret = prepareWrite((db, p: Parameters<NewSecret & { hosts: string | null }>) =>
  db
    .insertInto('secret')
    .values({
      organization_id: p('organizationId'),
      name: p('name'),
      sealed: p('sealed'),
      key_id: p('keyId'),
      hosts: p('hosts'),
      created_at: p('at'),
      modified_at: p('at'),
    })
    .onConflict((conflict) =>
      conflict
        .columns(['organization_id', 'name'])
        .doUpdateSet({ sealed: p('sealed'), key_id: p('keyId'), hosts: p('hosts'), modified_at: p('at') }),
    ),
)

/** The same; one that is there may go where it could go before, and a new one anywhere. */
export const renewSecret = prepareWrite((db, p: Parameters<NewSecret>) =>
  db
    .insertInto('secret')
    .values({
      organization_id: p('organizationId'),
      name: p('name'),
      sealed: p('sealed'),
      key_id: p('keyId'),
      created_at: p('at'),
      modified_at: p('at'),
    })
    .onConflict((conflict) =>
      conflict
        .columns(['organization_id', 'name'])
        .doUpdateSet({ sealed: p('sealed'), key_id: p('keyId'), modified_at: p('at') }),
    ),
)

export const deleteSecret = prepareWrite(
  (db, p: Parameters<Key>) =>
    db.deleteFrom('secret').where('organization_id', '=', p('organizationId')).where('name', '=', p('name')),
  { guard: SECRET_EXISTS },
)

export const selectSecret = prepareRead((db, p: Parameters<Key>) =>
  db
    .selectFrom('secret')
    .select(['sealed', 'hosts'])
    .where('organization_id', '=', p('organizationId'))
    .where('name', '=', p('name')),
)

export const selectSecrets = prepareRead((db, p: Parameters<{ organizationId: string }>) =>
  db
    .selectFrom('secret')
    .select(['name', 'sealed', 'hosts', 'created_at', 'modified_at'])
    .where('organization_id', '=', p('organizationId'))
    .orderBy('name'),
)

/** The next of the keys that secrets of all organizations are encrypted with. There are few, and one step finds each. */
export const selectNextKeyId = prepareRead((db, p: Parameters<{ after: string }>) =>
  db.selectFrom('secret').select('key_id').where('key_id', '>', p('after')).orderBy('key_id').limit(1),
)

export const countWithKey = prepareRead((db, p: Parameters<{ keyId: string }>) =>
  db
    .selectFrom('secret')
    .select((eb) => eb.fn.countAll<number>().as('count'))
    .where('key_id', '=', p('keyId')),
)

/** The secrets under a key, of all organizations, behind the given one, `limit` of them. */
export const selectWithKey = prepareRead((db, p: Parameters<Key & { keyId: string; limit: number }>) =>
  db
    .selectFrom('secret')
    .select(['organization_id', 'name', 'sealed'])
    .where('key_id', '=', p('keyId'))
    .where((eb) => eb(eb.refTuple('organization_id', 'name'), '>', eb.tuple(p('organizationId'), p('name'))))
    .orderBy('organization_id')
    .orderBy('name')
    .limit(p('limit')),
)

/** Changes what a secret is encrypted with, unless somebody else has changed it meanwhile. */
export const resealSecret = prepareWrite((db, p: Parameters<Key & { before: string; sealed: string; keyId: string }>) =>
  db
    .updateTable('secret')
    .set({ sealed: p('sealed'), key_id: p('keyId') })
    .where('organization_id', '=', p('organizationId'))
    .where('name', '=', p('name'))
    .where('sealed', '=', p('before')),
)
