import { type Parameters, prepareRead, prepareWrite } from '../../storage/prepare.ts'

export const insertOrganization = prepareWrite(
  (db, p: Parameters<{ id: string; name: string; tokenSecret: string; createdAt: number }>) =>
    db.insertInto('organization').values({
      id: p('id'),
      name: p('name'),
      token_secret: p('tokenSecret'),
      created_at: p('createdAt'),
    }),
)

export const selectOrganization = prepareRead((db, p: Parameters<{ id: string }>) =>
  db.selectFrom('organization').selectAll().where('id', '=', p('id')),
)

export const selectFirstOrganization = prepareRead((db) =>
  db.selectFrom('organization').select(['id', 'name']).orderBy('id').limit(1),
)

export const selectOrganizations = prepareRead((db) =>
  db.selectFrom('organization').select(['id', 'name']).orderBy('id'),
)
