import type { Clock } from '../../../lib/clock.ts'
import type { Log } from '../../../lib/log.ts'
import { type Database, type Statement, StorageError, tryWrite } from '../../../storage/database.ts'
import type { ConversationForTurn } from '../../conversations/conversation.ts'
import type { ConversationTurns } from '../../conversations/for-turns/conversation-turns.ts'
import { besideOf, promptTokens } from '../context/prompt-tokens.ts'
import type { TurnContexts } from '../context/turn-contexts.ts'
import { estimateReply } from '../ending/end-batch.ts'
import { endStoredRun } from '../ending/end-stored-run.ts'
import { addUsage, INTERRUPTED } from '../ending/verdict.ts'
import type { TurnLimits } from '../limits/turn-limits.ts'
import { findEvents } from '../reply/event-queries.ts'
import { hasText, lastSaid, openCalls, type ReplyEvent, repairsOf, stepsOf } from '../reply/reply-event.ts'
import { renewTurn, selectRunningTurns, takeOverTurn } from '../run/hold-queries.ts'
import { selectWaitingTurns, takeOverPlace } from '../run/line-queries.ts'
import type { Run, RunKey, Usage } from '../run/run.ts'
import { countRestart, findRun } from '../run/run-queries.ts'
import { nextStatus } from '../run/run-state.ts'
import type { TurnRunner } from '../running/turn-runner.ts'
import { messagesOfStep } from '../running/turn-steps.ts'
import type { AcceptedTurn } from '../turn.ts'
import { toResumption } from './resumption.ts'

export type Recovery = ReturnType<typeof createRecovery>

/** A turn that somebody holds, or that waits: `fence` is null then. */
type Orphan = RunKey & { fence: number | null; nodeId: string; expiresAt: number }

const NO_STEP = { text: '', calls: [], results: [] }

/**
 * Takes care of the turns whose node is gone. A turn is first taken over, so that what its old holder may still write
 * does not count; then it ends: what had been committed of the reply becomes its message, with finish reason
 * "interrupted", and without text there is no message. A run without text whose request asked for it is restarted, once.
 */
export function createRecovery(deps: {
  database: Database
  clock: Clock
  conversations: ConversationTurns
  contexts: Pick<TurnContexts, 'sentFor'>
  runner: Pick<TurnRunner, 'run' | 'find' | 'unsettled' | 'settled'>
  limits: Pick<TurnLimits, 'occupy'>
  nodeId: string
  leaseMs: number
  /** No other node can be there: then what other nodes hold is abandoned, whatever their leases say. */
  isAlone: boolean
  log: Pick<Log, 'error'>
}) {
  const { database, clock, conversations, contexts, runner, limits, nodeId, leaseMs, isAlone, log } = deps

  /** What the last look found that was ours and not under way: the answer to the write that made it so was lost. */
  let strays = new Set<string>()

  function isAbandoned({ runId, nodeId: holder, expiresAt }: Orphan): boolean {
    if (runner.unsettled.has(runId)) return true
    // A lease of our own that has run out is late, not abandoned: a busy process renews behind time.
    if (runner.find(runId)) return false
    return isAlone ? holder !== nodeId : expiresAt < clock()
  }

  /** Ours by name, and not under way here. */
  const isStray = ({ runId, nodeId: holder }: Orphan) => holder === nodeId && !runner.find(runId)
  /** A turn that has just been stored begins a moment later; one that was a stray at the last look too never will. */
  const isStrayStill = (orphan: Orphan) => isStray(orphan) && strays.has(orphan.runId)

  /** False when another node was quicker. */
  async function takeOver(orphan: Orphan): Promise<boolean> {
    const { organizationId, conversationId, runId, fence } = orphan
    const key = { organizationId, conversationId, runId }
    const mine = { nodeId, expiresAt: clock() + leaseMs }
    return tryWrite(database, [
      fence === null
        ? takeOverPlace(database, { ...key, ...mine, from: orphan.nodeId })
        : takeOverTurn(database, { ...key, ...mine, fence }),
    ])
  }

  /** Fails unless the turn is still held as `takeOver` has left it. */
  function holdOn(key: RunKey, fence: number | null): Statement {
    const mine = { nodeId, expiresAt: clock() + leaseMs }
    return fence === null
      ? takeOverPlace(database, { ...key, ...mine, from: nodeId })
      : renewTurn(database, { ...key, fence, expiresAt: mine.expiresAt })
  }

  async function recover(orphan: Orphan): Promise<'ended' | 'restarted' | 'left'> {
    const { organizationId, conversationId, runId } = orphan
    const key = { organizationId, conversationId, runId }
    if (!(await takeOver(orphan))) return 'left'
    const fence = orphan.fence === null ? null : orphan.fence + 1
    const found = await findRun(database, key)
    if (!found) return 'left'
    const events = await findEvents(database, key, 0)
    const waiting = found.run.status === 'waiting' ? await toAccepted(key, found.run, fence) : null
    const resumption = waiting && (await toResumption(database, key, found.run, events, waiting))
    if (resumption) {
      runner.run({ ...waiting, resumption, place: limits.occupy({ organizationId, keyId: found.run.apiKeyId }) })
      return 'restarted'
    }
    const turn = hasText(events) ? null : await toRestart(key, found.run, fence)
    // Under the fence, so that of two nodes that both think it is theirs one restarts it.
    if (turn && (await tryWrite(database, [holdOn(key, fence), countRestart(database, key)]))) {
      runner.run({
        ...turn,
        thoughtBefore: events,
        place: limits.occupy({ organizationId, keyId: found.run.apiKeyId }),
      })
      return 'restarted'
    }
    const isEnded = await end(key, found.run, fence, events)
    if (isEnded) runner.settled(runId)
    return isEnded ? 'ended' : 'left'
  }

  /** One that cannot be taken care of must not keep the others from it. Throws only when the database cannot be used. */
  async function recoverOrLeave(orphan: Orphan): Promise<'ended' | 'restarted' | 'left'> {
    try {
      return await recover(orphan)
    } catch (error) {
      if (error instanceof StorageError) throw error
      log.error({ err: error, runId: orphan.runId }, 'a run that its server had left could not be ended')
      return 'left'
    }
  }

  /** The turn as it was accepted, if it may run once more. */
  async function toRestart(key: RunKey, run: Run, fence: number | null) {
    return run.onCrash === 'restart' && run.restarts === 0 ? toAccepted(key, run, fence) : null
  }

  /** The turn as it was accepted, if it can be one again. */
  async function toAccepted(key: RunKey, run: Run, fence: number | null): Promise<Omit<AcceptedTurn, 'place'> | null> {
    if (runner.unsettled.has(run.id)) return null
    const [found, userMessage] = await Promise.all([
      conversations.find(key),
      conversations.findMessage(key, run.userMessageId),
    ])
    if (!found || found.isDeleted || !userMessage) return null
    const { conversation } = found
    const earlier = run.budget && (await spentSoFar(conversation, run, []))
    return {
      ...key,
      conversation,
      userMessage,
      replyMessageId: run.replyMessageId,
      kind: run.kind,
      isInLine: fence === null,
      fence: fence ?? 1,
      acceptedAt: run.createdAt,
      claimId: run.claimId,
      budget: run.budget,
      keyId: run.apiKeyId,
      standing: null,
      ...(earlier && earlier.promptTokens > 0 && { earlier }),
      target: { aiSystem: conversation.aiSystem, model: conversation.model },
    }
  }

  /**
   * What a run has cost whose server is gone: what was stored of its steps, and of the call that may have been under way
   * what was sent and came, as far as that can still be told.
   */
  async function spentSoFar(
    conversation: ConversationForTurn,
    run: Run,
    events: readonly ReplyEvent[],
  ): Promise<Usage> {
    const isCounted = run.budget !== null
    const isCalled = openCalls(stepsOf(events).at(-1) ?? NO_STEP).length > 0
    // Where nobody counts, what was stored is all there is, and a call that had not said anything is not looked for.
    const wasUnderWay = isCounted ? run.status === 'running' && !isCalled : events.length > 0
    if (!wasUnderWay) return run.usage
    const context = await contexts.sentFor(conversation, run.userMessageId)
    const steps = stepsOf(events).filter(({ calls }) => calls.length > 0)
    const sent = { ...context, messages: [...context.messages, ...steps.flatMap(messagesOfStep)] }
    const said = isCounted ? lastSaid(events) : events
    return addUsage(run.usage, {
      promptTokens: promptTokens(sent, besideOf(conversation)),
      completionTokens: estimateReply(said),
    })
  }

  async function end(key: RunKey, run: Run, fence: number | null, stored: ReplyEvent[]): Promise<boolean> {
    const found = await conversations.find(key)
    const usage = found ? await spentSoFar(found.conversation, run, stored) : run.usage
    const events = [...stored, ...repairsOf(stored)]
    const status = nextStatus(run.status, 'interrupt')
    return endStoredRun(deps, key, run, {
      fence,
      events,
      end: { status, finishReason: 'interrupted', usage, error: INTERRUPTED },
      isUsageEstimated: usage.promptTokens + usage.completionTokens > 0,
    })
  }

  return {
    /** Takes care of all that is abandoned now; says how many runs it has ended and restarted. */
    async sweep(): Promise<{ ended: number; restarted: number }> {
      const [held, waiting] = await Promise.all([selectRunningTurns(database, {}), selectWaitingTurns(database, {})])
      const orphans = [...held, ...waiting.map((row) => ({ ...row, fence: null }))].map(
        (row): Orphan => ({
          organizationId: row.organization_id,
          conversationId: row.conversation_id,
          runId: row.run_id,
          fence: row.fence,
          nodeId: row.node_id,
          expiresAt: row.expires_at,
        }),
      )
      const abandoned = orphans.filter((orphan) => isAbandoned(orphan) || isStrayStill(orphan))
      strays = new Set(orphans.filter(isStray).map(({ runId }) => runId))
      const counts = { ended: 0, restarted: 0, left: 0 }
      for (const orphan of abandoned) counts[await recoverOrLeave(orphan)]++
      return { ended: counts.ended, restarted: counts.restarted }
    },
  }
}
