import type { Clock } from '../../lib/clock.ts'
import { type Database, WriteConflict } from '../../storage/database.ts'
import type { ConversationTurns } from '../conversations/conversation-turns.ts'
import { decodeLengths, splitEvents } from './event-lengths.ts'
import { endingStatements, estimateReply } from './turn-ending.ts'
import { findRun, selectChunks, selectRunningTurns } from './turn-queries.ts'
import { nextStatus } from './turn-state.ts'

/**
 * Ends the runs that a stopped process left behind: what had been committed of each reply becomes its message, with
 * finish reason "interrupted"; without text there is no message. Returns how many it ended.
 */
export async function recoverTurns(deps: {
  database: Database
  clock: Clock
  conversations: ConversationTurns
  /** Which of the turns that are held may be ended. */
  mayEnd: (held: { nodeId: string; expiresAt: number }) => boolean
}): Promise<number> {
  const { database } = deps
  let ended = 0
  for (const held of await selectRunningTurns(database, {})) {
    if (!deps.mayEnd({ nodeId: held.node_id, expiresAt: held.expires_at })) continue
    const key = { organizationId: held.organization_id, conversationId: held.conversation_id, runId: held.run_id }
    const found = await findRun(database, key)
    if (!found) continue
    const chunks = await selectChunks(database, { organizationId: key.organizationId, runId: key.runId })
    const texts = chunks.flatMap((chunk) => splitEvents(chunk.text, decodeLengths(chunk.event_lengths)))
    const { run } = found
    const batch = endingStatements(deps, {
      ...key,
      fence: held.fence,
      replyMessageId: run.replyMessageId,
      aiSystem: run.aiSystem,
      model: run.model,
      attempts: run.attempts,
      firstTokenAt: run.firstTokenAt,
      texts,
      isUsageEstimated: texts.length > 0,
      userText: null,
      end: {
        status: nextStatus('running', 'interrupt'),
        finishReason: 'interrupted',
        usage: { promptTokens: 0, completionTokens: estimateReply(texts) },
        error: { code: 'unavailable', message: 'the turn was interrupted by the server' },
      },
    })
    try {
      await database.write(batch)
      ended++
    } catch (error) {
      // Another process was quicker.
      if (!(error instanceof WriteConflict)) throw error
    }
  }
  return ended
}
