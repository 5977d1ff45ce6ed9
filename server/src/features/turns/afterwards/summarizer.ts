import type { ConversationKey } from '../../../lib/conversation-key.ts'
import type { Background } from '../../../lib/fairness/background.ts'
import type { IdSource } from '../../../lib/ids.ts'
import type { Log } from '../../../lib/log.ts'
import { estimateTokens } from '../../../lib/text/token-estimate.ts'
import { parseAiSystem } from '../../../models/ai-systems.ts'
import { contextWindow } from '../../../models/context-window.ts'
import type { ChainLink } from '../../../models/model-call.ts'
import { type Statement, tryWrite } from '../../../storage/database.ts'
import type { ConversationForTurn, Message } from '../../conversations/conversation.ts'
import {
  chainOf,
  contextSettingsOf,
  isSummarized,
  replyTokens,
  type Summary,
  talkTokens,
  windowOf,
  withSummary,
} from '../context/build-context.ts'
import { beginSummary, dropSummary, findSummary, finishSummary, giveUpSummary } from '../context/summary-queries.ts'
import { tokensOf } from '../context/window.ts'
import type { StoredTurn } from '../ending/end-store.ts'
import { findRun } from '../run/run-queries.ts'
import { callAside, type SideDeps, type SideResult, sideRunStatements } from './side-run.ts'
import { countToSummarize, cutToTokens, firstThatFit, summaryRequest } from './summary-text.ts'

export type Summarizer = ReturnType<typeof createSummarizer>

/** A summary is made when the talk takes up this part of its room, and leaves it with the other: not every turn. */
const FULL = 0.7
const KEPT = 0.4
/** Tokens that a summary should have, and what part of the room for the talk; one of more than twice that is cut. */
const LONGEST_SUMMARY = 1_024
const SUMMARY_SHARE = 0.2
/** Tokens that its model may write: more, because some of them think aloud first. */
const MOST_WRITTEN = 4_096
/** Tokens for what the model is told to do. */
const INSTRUCTIONS = 256
/** Milliseconds that making one may take; after the second somebody else may try. */
const SUMMARY_MS = 120_000
const GIVE_UP_MS = 150_000
/** Messages that are read at most for one: what is older was not shown to the model anyway. */
const MOST_MESSAGES = 2_000
/** Summaries made in a row for a talk that is longer than the window of the one who makes them. */
const MOST_STEPS = 16
const PAGE = 64

/**
 * Makes the summaries of conversations whose persona wants them, behind a turn and never in its way. Each version is
 * claimed in the database before the model is asked, so that one is made at a time and a crash leaves no more than a claim
 * that runs out. Without one, or when making it fails, the model sees what fits into its window.
 */
export function createSummarizer(deps: SideDeps & { ids: IdSource; background: Background; log: Log }) {
  const { database, clock, ids, conversations, background, log } = deps

  async function summarize(turn: StoredTurn, signal: AbortSignal): Promise<void> {
    const { organizationId, conversationId, conversation, replyMessageId } = turn.accepted
    const key = { organizationId, conversationId }
    const found = await conversations.find(key)
    if (!found || found.isDeleted) return
    await database.write([giveUpSummary(database, { ...key, at: clock() })])
    let summary = await findSummary(database, key)
    const messages = await readBehind(key, replyMessageId, summary?.upToMessageId ?? null)
    const room = talkTokens(conversation, withSummary(conversation.systemText, summary))
    // The turn may have been sent before a summary was there that is there now.
    if (messages.reduce((sum, message) => sum + tokensOf(message), 0) < room * FULL) return
    const size = Math.min(LONGEST_SUMMARY, talkTokens(conversation, conversation.systemText) * SUMMARY_SHARE)
    let rest = messages.slice(0, countToSummarize(messages, room * KEPT))
    for (let step = 0; rest.length > 0 && step < MOST_STEPS && !signal.aborted; step++) {
      const made = await makeNext(turn, summary, rest, Math.floor(size), signal)
      if (!made) return
      summary = made
      rest = rest.filter(({ id }) => id > made.upToMessageId)
    }
  }

  /**
   * The next version, of about `size` tokens, which takes in as many of `messages` as its model can read; null if it
   * could not be made.
   */
  async function makeNext(
    turn: StoredTurn,
    earlier: Summary | null,
    messages: readonly Message[],
    size: number,
    signal: AbortSignal,
  ): Promise<Summary | null> {
    const { organizationId, conversationId, conversation, runId: behindId } = turn.accepted
    const chain = summaryChainOf(conversation)
    const window = windowToSummarize(conversation)
    const maxTokens = Math.min(MOST_WRITTEN, Math.floor(window / 4))
    const readable = window - maxTokens - INSTRUCTIONS - (earlier?.tokens ?? 0)
    const taken = firstThatFit(messages, readable)
    const upToMessageId = (taken.at(-1) as Message).id
    const runId = ids.nextAfter(behindId)
    const key = { organizationId, conversationId, runId }
    const version = (earlier?.version ?? 0) + 1
    const at = clock()
    const claim = { ...key, version, upToMessageId, expiresAt: at + GIVE_UP_MS, at }
    // Somebody else makes it, or the conversation is gone.
    if (!(await tryWrite(database, [beginSummary(database, claim)]))) return null
    const result = await callAside(deps, {
      chain,
      caller: turn.accepted,
      signal,
      context: summaryRequest(earlier?.text ?? null, taken, size),
      settings: { maxTokens, timeouts: { totalMs: SUMMARY_MS } },
      budget: deps.budgets.beside(turn.accepted),
    })
    if (result === null) {
      // Its key has not enough left today: the model sees what fits.
      await tryWrite(database, [dropSummary(database, key)])
      return null
    }
    const text = cutToTokens(result.text.trim(), size * 2)
    const isMade = result.outcome.ok && result.outcome.result.finishReason !== 'content_filter' && text !== ''
    const summary = { version, upToMessageId, text, tokens: estimateTokens(text) }
    const { aiSystem, model } = result
    const end = isMade
      ? finishSummary(database, { ...key, text, tokens: summary.tokens, aiSystem, model })
      : dropSummary(database, key)
    const isStored = await tryWrite(database, await withRun(turn, key, result, end))
    if (!isMade && !signal.aborted) log.warn({ ...key }, 'a summary could not be made; the model sees what fits')
    return isMade && isStored ? summary : null
  }

  /** The batch that ends it. What was broken off because the server stops cost nothing that anybody knows of. */
  async function withRun(
    turn: StoredTurn,
    key: ConversationKey & { runId: string },
    result: SideResult,
    end: Statement,
  ): Promise<Statement[]> {
    if (result.signal.aborted && !result.outcome.ok) return [end]
    const behind = turn.accepted
    const found = await findRun(database, { ...key, runId: behind.runId })
    const run = { ...key, kind: 'summary' as const, behind, apiKeyId: found?.run.apiKeyId ?? null }
    const [settled, ...rest] = sideRunStatements(deps, run, result)
    // The conversation first, as in every batch; and the guard before anything is added.
    return settled ? [settled, end, ...rest] : [end]
  }

  /** The messages behind the id `after` up to `newestId`, in order. */
  async function readBehind(key: ConversationKey, newestId: string, after: string | null): Promise<Message[]> {
    const read: Message[] = []
    let before = newestId
    while (read.length < MOST_MESSAGES) {
      const page = await conversations.newest(key, before, PAGE)
      const fresh = page.filter(
        ({ id, leftOut }) => !leftOut && id !== read.at(-1)?.id && (after === null || id > after),
      )
      read.push(...fresh)
      const last = page.at(-1)
      if (!last || page.length < PAGE || (after !== null && last.id <= after)) break
      before = last.id
    }
    return read.reverse()
  }

  return {
    /** Looks whether a turn that has ended calls for a summary, and has it made. Returns at once. */
    consider(turn: StoredTurn): void {
      const { accepted, sent, end } = turn
      if (!sent || end.status !== 'completed' || !isSummarized(accepted.conversation)) return
      const room = sent.window - replyTokens(accepted.conversation) - sent.systemTokens
      if (sent.historyTokens + end.usage.completionTokens < room * FULL) return
      const { organizationId, keyId, conversationId } = accepted
      background.add([organizationId, keyId ?? ''], `summary ${conversationId}`, (signal) => summarize(turn, signal))
    },
  }
}

function summaryChainOf(conversation: ConversationForTurn): readonly [ChainLink, ...ChainLink[]] {
  const { summaryModel } = contextSettingsOf(conversation)
  if (summaryModel) return [summaryModel]
  const [first, ...fallbacks] = chainOf(conversation)
  return [first as ChainLink, ...fallbacks]
}

/** Tokens that the one who makes the summary can see. */
function windowToSummarize(conversation: ConversationForTurn): number {
  const { summaryModel } = contextSettingsOf(conversation)
  if (!summaryModel) return windowOf(conversation)
  return contextWindow(parseAiSystem(summaryModel.aiSystem) ?? 'default', summaryModel.model)
}
