import { type Parameters, prepareWrite } from '../../../storage/prepare.ts'
import type { QueryBuilder } from '../../../storage/schema.ts'

type Key = { organizationId: string; id: string }
type Taken = Key & { userMessageId: string; lastMessageId: string }

function takeIn(db: QueryBuilder, p: Parameters<Taken>) {
  return db
    .updateTable('conversation')
    .set((eb) => ({
      last_message_id: p('lastMessageId'),
      message_count: eb('message_count', '+', 1),
      is_started: 1,
    }))
    .where('organization_id', '=', p('organizationId'))
    .where('id', '=', p('id'))
    .where('deleted_at', 'is', null)
    .where('is_active', '=', 1)
}

/** Takes a user's message in: the guard fails when the conversation is deleted, inactive, or has gone on meanwhile. */
export const openConversationForMessage = prepareWrite(
  (db, p: Parameters<Taken>) =>
    takeIn(db, p).where((eb) =>
      eb.or([eb('last_message_id', 'is', null), eb('last_message_id', '<', p('userMessageId'))]),
    ),
  { guard: 'conversation_is_open' },
)

/** The same: the guard also fails when the newest message, how many there are, or the name is not what was seen. */
export const openConversationAsSeen = prepareWrite(
  (db, p: Parameters<Taken & { seenLast: string | null; seenCount: number; seenName: string | null }>) =>
    takeIn(db, p)
      .where('last_message_id', 'is not distinct from', p('seenLast'))
      .where('message_count', '=', p('seenCount'))
      .where('name', 'is not distinct from', p('seenName')),
  { guard: 'conversation_is_open', isIndependent: true },
)

/** Makes `lastMessageId` the newest: the guard fails when the conversation is closed, or its newest is not `seen` any more. */
export const reserveLastMessage = prepareWrite(
  (db, p: Parameters<Key & { seen: string | null; lastMessageId: string | null }>) =>
    db
      .updateTable('conversation')
      .set({ last_message_id: p('lastMessageId') })
      .where('organization_id', '=', p('organizationId'))
      .where('id', '=', p('id'))
      .where('deleted_at', 'is', null)
      .where('is_active', '=', 1)
      .where('last_message_id', '=', p('seen')),
  { guard: 'conversation_is_open' },
)

/** Takes the messages from `from` up to, not including, `before` out of the count. */
export const discountMessages = prepareWrite((db, p: Parameters<Key & { from: string; before: string }>) =>
  db
    .updateTable('conversation')
    .set((eb) => ({
      message_count: eb(
        'message_count',
        '-',
        eb
          .selectFrom('message')
          .select((eb) => eb.fn.countAll<number>().as('replaced'))
          .where('organization_id', '=', p('organizationId'))
          .where('conversation_id', '=', p('id'))
          .where('message.id', '>=', p('from'))
          .where('message.id', '<', p('before')),
      ),
    }))
    .where('organization_id', '=', p('organizationId'))
    .where('id', '=', p('id')),
)

/** Adds what a run has produced and cost; `name` counts only if there is none yet. */
export const settleConversation = prepareWrite(
  (
    db,
    p: Parameters<Key & { messages: number; promptTokens: number; completionTokens: number; name: string | null }>,
  ) =>
    db
      .updateTable('conversation')
      .set((eb) => ({
        message_count: eb('message_count', '+', p('messages')),
        prompt_tokens: eb('prompt_tokens', '+', p('promptTokens')),
        completion_tokens: eb('completion_tokens', '+', p('completionTokens')),
        name: eb.fn.coalesce('name', eb.val(p('name'))),
      }))
      .where('organization_id', '=', p('organizationId'))
      .where('id', '=', p('id')),
  { isIndependent: true },
)
