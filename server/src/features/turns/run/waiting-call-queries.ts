import { sql } from 'kysely'
import { parseExactly } from '../../../lib/exact-json.ts'
import type { JsonObject } from '../../../lib/json.ts'
import type { Database } from '../../../storage/database.ts'
import type { RunKey } from './run.ts'

/** A call that waits until somebody has decided about it. Times are milliseconds. */
export type WaitingCall = RunKey & {
  /** Of its own, and none of the wire. */
  id: string
  toolCallId: string
  name: string
  input: JsonObject
  personaId: string | null
  externalUserId: string | null
  createdAt: number
  expiresAt: number
}

/** The ids of an organization's calls that nobody has decided about, newest first, and how large each is. */
export async function findWaitingIds(
  database: Database,
  organizationId: string,
  after: string | null,
  limit: number,
): Promise<{ id: string; bytes: number }[]> {
  let query = database.dialect.builder
    .selectFrom('waiting_call')
    .select(['id', sql<number>`octet_length(input)`.as('bytes')])
    .where('organization_id', '=', organizationId)
    .orderBy('id', 'desc')
    .limit(limit)
  if (after !== null) query = query.where('id', '<', after)
  return database.scan(query.compile(), organizationId)
}

/** What those ids stand for, newest first, without what has been decided about or deleted meanwhile. */
export async function findWaitingCalls(
  database: Database,
  organizationId: string,
  ids: readonly string[],
): Promise<WaitingCall[]> {
  const query = database.dialect.builder
    .selectFrom('waiting_call')
    .innerJoin('conversation', (join) =>
      join
        .onRef('conversation.organization_id', '=', 'waiting_call.organization_id')
        .onRef('conversation.id', '=', 'waiting_call.conversation_id'),
    )
    .selectAll('waiting_call')
    .select(['conversation.persona_id', 'conversation.external_user_id'])
    .where('waiting_call.organization_id', '=', organizationId)
    .where('waiting_call.id', 'in', [...ids])
    .where('conversation.deleted_at', 'is', null)
    .orderBy('waiting_call.id', 'desc')
  return (await database.scan(query.compile(), organizationId)).map((row) => ({
    id: row.id,
    organizationId,
    conversationId: row.conversation_id,
    runId: row.run_id,
    toolCallId: row.tool_call_id,
    name: row.name,
    input: parseExactly(row.input) as JsonObject,
    personaId: row.persona_id,
    externalUserId: row.external_user_id,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
  }))
}
