import { asColumn, type Parameters, prepareRead, prepareWrite } from '../../storage/prepare.ts'

type Key = { organizationId: string; id: string }
type Answer = { status: number | null; headers: string | null; body: string | null }

export const insertClaim = prepareWrite(
  (
    db,
    p: Parameters<
      Key & Answer & { bodyHash: string; conversationId: string | null; runId: string | null; createdAt: number }
    >,
  ) =>
    db.insertInto('idempotency_claim').values({
      organization_id: p('organizationId'),
      id: p('id'),
      body_hash: p('bodyHash'),
      conversation_id: p('conversationId'),
      run_id: p('runId'),
      status: p('status'),
      headers: p('headers'),
      body: p('body'),
      created_at: p('createdAt'),
    }),
)

/**
 * A claim together with the answer about a conversation, as long as the conversation is there: touches no row when it has
 * been erased.
 */
export const insertClaimAbout = prepareWrite(
  (
    db,
    p: Parameters<Key & Answer & { bodyHash: string; conversationId: string; createdAt: number }>,
    { name, columnTypes },
  ) =>
    db
      .insertInto('idempotency_claim')
      .columns(['organization_id', 'id', 'body_hash', 'conversation_id', 'status', 'headers', 'body', 'created_at'])
      .expression(
        db
          .selectFrom('conversation')
          .select([
            'organization_id',
            asColumn(p('id'), 'text').as('id'),
            asColumn(p('bodyHash'), 'text').as('body_hash'),
            'conversation.id as conversation_id',
            asColumn(p('status'), columnTypes.count).as('status'),
            asColumn(p('headers'), 'text').as('headers'),
            asColumn(p('body'), 'text').as('body'),
            asColumn(p('createdAt'), columnTypes.time).as('created_at'),
          ])
          .where('conversation.organization_id', '=', p('organizationId'))
          .where('conversation.id', '=', p('conversationId'))
          // The lock makes an erasure wait for this write, or this write see the erasure.
          .$if(name === 'postgres', (query) => query.forShare()),
      ),
)

export const selectClaim = prepareRead((db, p: Parameters<Key>) =>
  db
    .selectFrom('idempotency_claim')
    .selectAll()
    .where('organization_id', '=', p('organizationId'))
    .where('id', '=', p('id')),
)

export const storeAnswer = prepareWrite((db, p: Parameters<Key & Answer & { conversationId: string | null }>) =>
  db
    .updateTable('idempotency_claim')
    .set({ status: p('status'), headers: p('headers'), body: p('body'), conversation_id: p('conversationId') })
    .where('organization_id', '=', p('organizationId'))
    .where('id', '=', p('id')),
)

export const deleteClaim = prepareWrite((db, p: Parameters<Key>) =>
  db.deleteFrom('idempotency_claim').where('organization_id', '=', p('organizationId')).where('id', '=', p('id')),
)

/** Only as long as it is this run's: the key may have been used again since. */
export const deleteClaimOfRun = prepareWrite((db, p: Parameters<Key & { runId: string }>) =>
  db
    .deleteFrom('idempotency_claim')
    .where('organization_id', '=', p('organizationId'))
    .where('id', '=', p('id'))
    .where('run_id', '=', p('runId')),
)

/** Claims from before `createdBefore`, `limit` of them at most, the oldest first. */
export const deleteOldClaims = prepareWrite((db, p: Parameters<{ createdBefore: number; limit: number }>) =>
  db
    .deleteFrom('idempotency_claim')
    .where((eb) =>
      eb(
        eb.refTuple('organization_id', 'id'),
        'in',
        eb
          .selectFrom('idempotency_claim')
          .select(['organization_id', 'id'])
          .where('created_at', '<', p('createdBefore'))
          .orderBy('created_at')
          .limit(p('limit'))
          .$asTuple('organization_id', 'id'),
      ),
    ),
)
