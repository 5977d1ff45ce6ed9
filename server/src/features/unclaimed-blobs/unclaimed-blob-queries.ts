import { type Parameters, prepareRead, prepareWrite } from '../../storage/prepare.ts'

export type UnclaimedBlob = { organizationId: string; blobKey: string }

/** Says that a blob is about to be written: if nobody claims it by `dueAt`, it is to be deleted. */
export const announceBlob = prepareWrite((db, p: Parameters<UnclaimedBlob & { dueAt: number }>) =>
  db.insertInto('unclaimed_blob').values({
    organization_id: p('organizationId'),
    blob_key: p('blobKey'),
    is_doomed: 0,
    due_at: p('dueAt'),
  }),
)

/** Claims a blob for whatever is written in the same batch. Fails when it is to be deleted. */
export const claimBlob = prepareWrite(
  (db, p: Parameters<UnclaimedBlob>) =>
    db
      .deleteFrom('unclaimed_blob')
      .where('organization_id', '=', p('organizationId'))
      .where('blob_key', '=', p('blobKey'))
      .where('is_doomed', '=', 0),
  { guard: 'blob_is_unclaimed' },
)

/** From here on nobody can claim a blob that is due, so it can be deleted. */
export const doomDueBlobs = prepareWrite((db, p: Parameters<{ now: number }>) =>
  db.updateTable('unclaimed_blob').set({ is_doomed: 1 }).where('due_at', '<=', p('now')).where('is_doomed', '=', 0),
)

/** The same for one blob. */
export const doomBlob = prepareWrite((db, p: Parameters<UnclaimedBlob>) =>
  db
    .updateTable('unclaimed_blob')
    .set({ is_doomed: 1 })
    .where('organization_id', '=', p('organizationId'))
    .where('blob_key', '=', p('blobKey')),
)

/** Blobs that are to be deleted. */
export const selectDoomed = prepareRead((db, p: Parameters<{ limit: number }>) =>
  db
    .selectFrom('unclaimed_blob')
    .select(['organization_id as organizationId', 'blob_key as blobKey'])
    .where('is_doomed', '=', 1)
    .orderBy('organization_id')
    .orderBy('blob_key')
    .limit(p('limit')),
)

/** Forgets a blob that has been deleted. */
export const forgetBlob = prepareWrite((db, p: Parameters<UnclaimedBlob>) =>
  db
    .deleteFrom('unclaimed_blob')
    .where('organization_id', '=', p('organizationId'))
    .where('blob_key', '=', p('blobKey'))
    .where('is_doomed', '=', 1),
)
