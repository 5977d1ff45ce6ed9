import { AppError } from '../../errors.ts'
import { createContinuationToken, type Page, readContinuationToken, toPage } from '../../http/answers/pagination.ts'
import type { ConversationKey } from '../../lib/conversation-key.ts'
import type { Database } from '../../storage/database.ts'
import type { Message } from '../conversations/conversation.ts'
import type { ConversationService } from '../conversations/conversation-service.ts'
import type { ConversationTurns } from '../conversations/for-turns/conversation-turns.ts'
import type { OrganizationService } from '../organizations/organization-service.ts'
import { mayShowThoughts, type ReadableRun } from './reply/readable-run.ts'
import { thoughtsIn } from './reply/reply-event.ts'
import { createReplyReader } from './reply/reply-reader.ts'
import type { Run, RunKey } from './run/run.ts'
import { type FoundRun, findRun, findRuns } from './run/run-queries.ts'
import { isEnded } from './run/run-state.ts'
import type { TurnRunner } from './running/turn-runner.ts'

export type RunList = { conversationId: string; pageSize: number; continuationToken: string | null }
/** A message of a user, and the reply to it if there is one. */
export type Exchange = { question: Message; reply: Message | null }
export type RunService = ReturnType<typeof createRunService>

/** Runs as callers read them: their records, their replies, and what they have answered. */
export function createRunService(deps: {
  database: Database
  runner: Pick<TurnRunner, 'find'>
  conversations: Pick<ConversationService, 'get'>
  conversationTurns: ConversationTurns
  organizations: Pick<OrganizationService, 'tokenSecret'>
}) {
  const { database, runner, conversations, conversationTurns, organizations } = deps
  const reader = createReplyReader({ database, conversations: conversationTurns })

  async function getSeen(key: RunKey): Promise<FoundRun & { mayShowThoughts: boolean }> {
    const conversation = await conversations.get(key.organizationId, key.conversationId)
    const found = await findRun(database, key)
    if (!found) throw new AppError('not_found', 'the conversation has no such run')
    return { ...found, mayShowThoughts: mayShowThoughts(conversation) }
  }

  const get = (key: RunKey): Promise<FoundRun> => getSeen(key)

  async function read(key: RunKey): Promise<ReadableRun> {
    const found = await getSeen(key)
    const live = runner.find(key.runId)
    if (live) return { ...live, mayShowThoughts: found.mayShowThoughts }
    const reply = isEnded(found.run.status) ? await reader.ended(key, found) : reader.follow(key)
    const { conversationId, runId } = key
    return { conversationId, runId, messageId: found.run.replyMessageId, reply, mayShowThoughts: found.mayShowThoughts }
  }

  return {
    /** A run's record. Throws 404 and 410. */
    get,

    /** What a run answered and with what, also when other messages have taken their places. Throws 404 and 410. */
    async exchangeOf(key: RunKey): Promise<Exchange> {
      const { run } = await get(key)
      const [question, reply] = await Promise.all([
        conversationTurns.findMessageOrReplaced(key, run.userMessageId),
        conversationTurns.findMessageOrReplaced(key, run.replyMessageId),
      ])
      if (!question) throw new Error(`the run ${run.id} has no question`)
      return { question, reply: reply ?? null }
    },

    /** Runs of a conversation, newest first. Throws 404 and 410. */
    async list(organizationId: string, { conversationId, pageSize, continuationToken }: RunList): Promise<Page<Run>> {
      await conversations.get(organizationId, conversationId)
      const secret = await organizations.tokenSecret(organizationId)
      const query = ['runs', conversationId]
      const after = continuationToken === null ? null : readContinuationToken(secret, query, continuationToken)
      const rows = await findRuns(database, { organizationId, conversationId }, after, pageSize + 1)
      return toPage(rows, pageSize, (last) => createContinuationToken(secret, query, last.id))
    },

    /** A run's reply, under way here, elsewhere, or ended. Throws 404 and 410. */
    read,

    /** What the model of an ended run has thought; null where it may not be shown, or there is nothing. */
    async thoughtsOf(key: RunKey): Promise<string | null> {
      const { mayShowThoughts: isAllowed, ...found } = await getSeen(key)
      if (!isAllowed || !isEnded(found.run.status)) return null
      return thoughtsIn((await reader.ended(key, found)).events) || null
    },

    /** Up to `limit` runs of a conversation, deleted or not, newest first, behind the id `after`. */
    runsOf: (key: ConversationKey, after: string | null, limit: number): Promise<Run[]> =>
      findRuns(database, key, after, limit),
  }
}
