import { type Parameters, prepareRead, prepareWrite } from '../../storage/prepare.ts'

type Key = { organizationId: string; name: string }

/** The guard of `deleteSecret`. */
export const SECRET_EXISTS = 'secret_exists'

type NewSecret = Key & { sealed: string; at: number }

/** Stores a secret, in the place of one with the same name if there is one. */
export const putSecret = prepareWrite((db, p: Parameters<NewSecret & { hosts: string | null }>) =>
  db
    .insertInto('secret')
    .values({
      organization_id: p('organizationId'),
      name: p('name'),
      sealed: p('sealed'),
      hosts: p('hosts'),
      created_at: p('at'),
      modified_at: p('at'),
    })
    .onConflict((conflict) =>
      conflict
        .columns(['organization_id', 'name'])
        .doUpdateSet({ sealed: p('sealed'), hosts: p('hosts'), modified_at: p('at') }),
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
      created_at: p('at'),
      modified_at: p('at'),
    })
    .onConflict((conflict) =>
      conflict.columns(['organization_id', 'name']).doUpdateSet({ sealed: p('sealed'), modified_at: p('at') }),
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

/** Without what they hold. */
export const selectSecretNames = prepareRead((db, p: Parameters<{ organizationId: string }>) =>
  db
    .selectFrom('secret')
    .select(['name', 'hosts', 'created_at', 'modified_at'])
    .where('organization_id', '=', p('organizationId'))
    .orderBy('name'),
)
