import { type Compilable, sql } from 'kysely'
import type { Database, SqlValue, Statement } from '../../storage/database.ts'
import { type Parameters, prepareRead, prepareWrite } from '../../storage/prepare.ts'
import type { Schema } from '../../storage/schema.ts'

/** What is to be erased: all of a user, or one conversation. */
export type Target = { externalUserId: string } | { conversationId: string }
export type Erasure = { organizationId: string; id: string; target: Target | null; createdAt: number }

/** How many conversations are erased in one batch: other writes wait for it. */
export const ERASED_AT_ONCE = 100

/** Where rows of a conversation are, besides its own and its runs' and their chunks'. */
const TABLES_OF_CONVERSATIONS = [
  'running_turn',
  'waiting_turn',
  'tool_decision',
  'waiting_call',
  'message',
  'replaced_message',
  'feedback',
  'idempotency_claim',
  'conversation_summary',
  'archive_segment',
  'attachment',
] as const

/** Every table that an erasure touches: their files are cleaned afterwards. */
export const ERASED_TABLES: readonly (keyof Schema)[] = [
  'conversation',
  ...TABLES_OF_CONVERSATIONS,
  'run_chunk',
  'run',
  'erasure',
]

export const insertErasure = prepareWrite(
  (
    db,
    p: Parameters<{
      organizationId: string
      id: string
      externalUserId: string | null
      conversationId: string | null
      createdAt: number
    }>,
  ) =>
    db.insertInto('erasure').values({
      organization_id: p('organizationId'),
      id: p('id'),
      external_user_id: p('externalUserId'),
      conversation_id: p('conversationId'),
      created_at: p('createdAt'),
    }),
)

/** The rows are gone; the name of the user goes with them. */
export const forgetTarget = prepareWrite((db, p: Parameters<{ organizationId: string; id: string }>) =>
  db
    .updateTable('erasure')
    .set({ external_user_id: null, conversation_id: null })
    .where('organization_id', '=', p('organizationId'))
    .where('id', '=', p('id')),
)

export const deleteErasure = prepareWrite((db, p: Parameters<{ organizationId: string; id: string }>) =>
  db.deleteFrom('erasure').where('organization_id', '=', p('organizationId')).where('id', '=', p('id')),
)

const selectErasures = prepareRead((db, p: Parameters<{ createdBefore: number }>) =>
  db.selectFrom('erasure').selectAll().where('created_at', '<=', p('createdBefore')).orderBy('id'),
)

/** Erasures of all organizations that began at `createdBefore` or earlier and are not over. */
export async function findErasures(database: Database, createdBefore: number): Promise<Erasure[]> {
  return (await selectErasures(database, { createdBefore })).map((row) => ({
    organizationId: row.organization_id,
    id: row.id,
    createdAt: row.created_at,
    target:
      row.external_user_id !== null
        ? { externalUserId: row.external_user_id }
        : row.conversation_id !== null
          ? { conversationId: row.conversation_id }
          : null,
  }))
}

/** The next conversations to erase, deleted ones too. */
export async function findToErase(database: Database, organizationId: string, target: Target): Promise<string[]> {
  const query = database.dialect.builder
    .selectFrom('conversation')
    .select('id')
    .where('organization_id', '=', organizationId)
    .orderBy('id')
    .limit(ERASED_AT_ONCE)
  const those =
    'externalUserId' in target
      ? query.where('external_user_id', '=', target.externalUserId)
      : query.where('id', '=', target.conversationId)
  return (await database.scan(those.compile(), organizationId)).map(({ id }) => id)
}

/** Deletes conversations softly: from now on nothing new begins on them. Locks them in the order of their ids. */
export function closeConversations(
  database: Database,
  organizationId: string,
  ids: readonly string[],
  at: number,
): Statement {
  const { builder, name } = database.dialect
  return toStatement(
    builder
      .updateTable('conversation')
      .set((eb) => ({ deleted_at: eb.fn.coalesce('deleted_at', eb.val(at)) }))
      .where('organization_id', '=', organizationId)
      .where('id', 'in', (eb) =>
        eb
          .selectFrom('conversation')
          .select('id')
          .where('organization_id', '=', organizationId)
          .where('id', 'in', filled(ids))
          .orderBy('id')
          .$if(name === 'postgres', (query) => query.forUpdate()),
      ),
  )
}

/**
 * The batch that takes everything of these conversations out of the database, at most {@link ERASED_AT_ONCE} of them, and
 * adds what they had cost to the totals that stay. The first statement locks them: what comes at the same time has
 * happened before it, and is erased, or finds nothing any more. Whoever still holds a turn loses it with its row.
 */
export function eraseConversations(
  database: Database,
  organizationId: string,
  ids: readonly string[],
  at: number,
): Statement[] {
  const { builder } = database.dialect
  const those = filled(ids)
  const runIds = builder
    .selectFrom('run')
    .select('id')
    .where('organization_id', '=', organizationId)
    .where('conversation_id', 'in', those)
  return [
    closeConversations(database, organizationId, ids, at),
    toStatement(keepUsage(database, organizationId, those)),
    toStatement(keepCounts(database, organizationId, those)),
    ...TABLES_OF_CONVERSATIONS.map((table) =>
      toStatement(
        builder.deleteFrom(table).where('organization_id', '=', organizationId).where('conversation_id', 'in', those),
      ),
    ),
    toStatement(
      builder.deleteFrom('run_chunk').where('organization_id', '=', organizationId).where('run_id', 'in', runIds),
    ),
    toStatement(giveBackReservations(database, organizationId, those)),
    toStatement(
      builder.deleteFrom('run').where('organization_id', '=', organizationId).where('conversation_id', 'in', those),
    ),
    toStatement(
      builder.deleteFrom('conversation').where('organization_id', '=', organizationId).where('id', 'in', those),
    ),
  ]
}

function keepUsage({ dialect }: Database, organizationId: string, ids: readonly string[]) {
  const totals = dialect.builder
    .selectFrom('run')
    .select((eb) => [
      'organization_id',
      dialect.utcDay('created_at').as('day'),
      'ai_system',
      'model',
      eb.fn.countAll<number>().as('runs'),
      sumOf('prompt_tokens').as('prompt_tokens'),
      sumOf('completion_tokens').as('completion_tokens'),
    ])
    .where('organization_id', '=', organizationId)
    .where('conversation_id', 'in', ids)
    .groupBy(['organization_id', dialect.utcDay('created_at'), 'ai_system', 'model'])
  return dialect.builder
    .insertInto('erased_usage')
    .columns(['organization_id', 'day', 'ai_system', 'model', 'runs', 'prompt_tokens', 'completion_tokens'])
    .expression(totals)
    .onConflict((conflict) =>
      conflict.columns(['organization_id', 'day', 'ai_system', 'model']).doUpdateSet((eb) => ({
        runs: eb('erased_usage.runs', '+', eb.ref('excluded.runs')),
        prompt_tokens: eb('erased_usage.prompt_tokens', '+', eb.ref('excluded.prompt_tokens')),
        completion_tokens: eb('erased_usage.completion_tokens', '+', eb.ref('excluded.completion_tokens')),
      })),
    )
}

function keepCounts({ dialect }: Database, organizationId: string, ids: readonly string[]) {
  const totals = dialect.builder
    .selectFrom('conversation')
    .select((eb) => [
      'organization_id',
      dialect.utcDay('created_at').as('day'),
      eb.fn.countAll<number>().as('conversations'),
      sumOf('message_count').as('messages'),
    ])
    .where('organization_id', '=', organizationId)
    .where('id', 'in', ids)
    .groupBy(['organization_id', dialect.utcDay('created_at')])
  return dialect.builder
    .insertInto('erased_conversations')
    .columns(['organization_id', 'day', 'conversations', 'messages'])
    .expression(totals)
    .onConflict((conflict) =>
      conflict.columns(['organization_id', 'day']).doUpdateSet((eb) => ({
        conversations: eb('erased_conversations.conversations', '+', eb.ref('excluded.conversations')),
        messages: eb('erased_conversations.messages', '+', eb.ref('excluded.messages')),
      })),
    )
}

/** Gives back what runs have reserved of their keys' budgets that nobody could end. */
function giveBackReservations({ dialect }: Database, organizationId: string, ids: readonly string[]) {
  const open = dialect.builder
    .selectFrom('run')
    .where('run.organization_id', '=', organizationId)
    .where('run.conversation_id', 'in', ids)
    .where('run.ended_at', 'is', null)
    .whereRef('run.api_key_id', '=', sql.ref('token_budget.api_key_id'))
    .whereRef('run.budget_day', '=', sql.ref('token_budget.day'))
  return dialect.builder
    .updateTable('token_budget')
    .set((eb) => ({ reserved: eb('reserved', '-', open.select(sumOf('run.reserved_tokens').as('tokens'))) }))
    .where('organization_id', '=', organizationId)
    .where((eb) => eb.exists(open.select('run.id')))
}

/** A sum as a whole number; PostgreSQL makes a decimal of it. */
function sumOf(column: string) {
  return sql<number>`cast(sum(${sql.ref(column)}) as bigint)`
}

/** Always as many ids, the last one repeated: so each statement has one text, which databases prepare once. */
function filled(ids: readonly string[]): string[] {
  return Array.from({ length: ERASED_AT_ONCE }, (_, i) => ids[Math.min(i, ids.length - 1)] as string)
}

function toStatement(query: Compilable): Statement {
  const { sql: text, parameters } = query.compile()
  return { sql: text, parameters: parameters as SqlValue[] }
}
