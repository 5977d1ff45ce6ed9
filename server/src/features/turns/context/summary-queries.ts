import type { ConversationKey } from '../../../lib/conversation-key.ts'
import type { Database } from '../../../storage/database.ts'
import { asColumn, type Parameters, prepareRead, prepareWrite } from '../../../storage/prepare.ts'
import type { Summary } from './build-context.ts'

/** A second summary of the same part of a conversation is being made. */
export const SUMMARY_IS_BEGUN = 'conversation_summary_pkey'
/** The guard of `beginSummary`: what is to be summarized, or the version before, is gone. */
export const SUMMARY_FITS = 'summary_fits'
/** The guard of what only the maker of a summary may do: it was given up, or its conversation is gone. */
export const SUMMARY_IS_OURS = 'summary_is_ours'

type Draft = ConversationKey & { version: number; upToMessageId: string; runId: string; expiresAt: number; at: number }

/**
 * Claims the next version. The message that it goes up to has to be there, or archived: an edit may just have replaced
 * it. The conversation is locked, so that an erasure comes either before, and there is nothing to begin, or after.
 */
export const beginSummary = prepareWrite(
  (db, p: Parameters<Draft>, { name, columnTypes }) =>
    db
      .insertInto('conversation_summary')
      .columns([
        ...(['organization_id', 'conversation_id', 'version', 'up_to_message_id', 'tokens', 'run_id'] as const),
        ...(['expires_at', 'created_at'] as const),
      ])
      .expression(
        db
          .selectFrom('conversation')
          .select((eb) => [
            'conversation.organization_id',
            'conversation.id as conversation_id',
            asColumn(p('version'), columnTypes.count).as('version'),
            asColumn(p('upToMessageId'), columnTypes.id).as('up_to_message_id'),
            eb.lit(0).as('tokens'),
            asColumn(p('runId'), columnTypes.id).as('run_id'),
            asColumn(p('expiresAt'), columnTypes.count).as('expires_at'),
            asColumn(p('at'), columnTypes.count).as('created_at'),
          ])
          .where('conversation.organization_id', '=', p('organizationId'))
          .where('conversation.id', '=', p('conversationId'))
          .where('conversation.deleted_at', 'is', null)
          .where((eb) =>
            eb.or([
              eb.exists(
                eb
                  .selectFrom('message')
                  .select('message.id')
                  .where('message.organization_id', '=', p('organizationId'))
                  .where('message.conversation_id', '=', p('conversationId'))
                  .where('message.id', '=', p('upToMessageId')),
              ),
              eb.exists(
                eb
                  .selectFrom('archive_segment')
                  .select('archive_segment.number')
                  .where('archive_segment.organization_id', '=', p('organizationId'))
                  .where('archive_segment.conversation_id', '=', p('conversationId'))
                  .where('archive_segment.first_id', '<=', p('upToMessageId'))
                  .where('archive_segment.last_id', '>=', p('upToMessageId')),
              ),
            ]),
          )
          .$if(name === 'postgres', (query) => query.forShare()),
      ),
  { guard: SUMMARY_FITS },
)

/** Takes a version away that somebody has begun and not finished in time. */
export const giveUpSummary = prepareWrite((db, p: Parameters<ConversationKey & { at: number }>) =>
  db
    .deleteFrom('conversation_summary')
    .where('organization_id', '=', p('organizationId'))
    .where('conversation_id', '=', p('conversationId'))
    .where('text', 'is', null)
    .where('expires_at', '<', p('at')),
)

type Made = ConversationKey & { runId: string; text: string; tokens: number; aiSystem: string; model: string }

export const finishSummary = prepareWrite(
  (db, p: Parameters<Made>) =>
    db
      .updateTable('conversation_summary')
      .set({ text: p('text'), tokens: p('tokens'), ai_system: p('aiSystem'), model: p('model'), expires_at: null })
      .where('organization_id', '=', p('organizationId'))
      .where('conversation_id', '=', p('conversationId'))
      .where('run_id', '=', p('runId'))
      .where('text', 'is', null),
  { guard: SUMMARY_IS_OURS },
)

/** Takes a version back that could not be made. */
export const dropSummary = prepareWrite(
  (db, p: Parameters<ConversationKey & { runId: string }>) =>
    db
      .deleteFrom('conversation_summary')
      .where('organization_id', '=', p('organizationId'))
      .where('conversation_id', '=', p('conversationId'))
      .where('run_id', '=', p('runId'))
      .where('text', 'is', null),
  { guard: SUMMARY_IS_OURS },
)

/** Takes the versions away that stand for the message `from` or later ones: they are not in the conversation any more. */
export const forgetSummaries = prepareWrite((db, p: Parameters<ConversationKey & { from: string }>) =>
  db
    .deleteFrom('conversation_summary')
    .where('organization_id', '=', p('organizationId'))
    .where('conversation_id', '=', p('conversationId'))
    .where('up_to_message_id', '>=', p('from')),
)

const selectSummary = prepareRead((db, p: Parameters<ConversationKey>) =>
  db
    .selectFrom('conversation_summary')
    .select(['version', 'up_to_message_id', 'text', 'tokens'])
    .where('organization_id', '=', p('organizationId'))
    .where('conversation_id', '=', p('conversationId'))
    .where('text', 'is not', null)
    .orderBy('version', 'desc')
    .limit(1),
)

/** The newest summary of a conversation. */
export async function findSummary(database: Database, key: ConversationKey): Promise<Summary | null> {
  const [row] = await selectSummary(database, key)
  if (!row || row.text === null) return null
  return { version: row.version, upToMessageId: row.up_to_message_id, text: row.text, tokens: row.tokens }
}
