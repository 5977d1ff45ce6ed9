import { setTimeout as wait } from 'node:timers/promises'
import { AppError } from '../../errors.ts'
import { createContinuationToken, type Page, readContinuationToken, toPage } from '../../http/answers/pagination.ts'
import type { Clock } from '../../lib/clock.ts'
import { type Database, WriteConflict } from '../../storage/database.ts'
import type { GivenAttachment } from '../attachments/attachment.ts'
import { type ConversationForTurn, forTurn, type Message } from '../conversations/conversation.ts'
import { type ConversationService, existing } from '../conversations/conversation-service.ts'
import type { ConversationTurns } from '../conversations/for-turns/conversation-turns.ts'
import type { StartedConversation } from '../conversations/start-conversation.ts'
import type { OrganizationService } from '../organizations/organization-service.ts'
import type { ToolAnswer } from './accepting/tool-answers.ts'
import type { TurnAcceptance } from './accepting/turn-acceptance.ts'
import type { TurnFiles } from './context/files-for-model.ts'
import type { RecentTalk } from './context/remembered-conversations.ts'
import { endingOf } from './ending/end-batch.ts'
import { endOf, type Progress, type Stop } from './ending/verdict.ts'
import { textLengthOf } from './reply/event-codec.ts'
import type { ReadableRun } from './reply/readable-run.ts'
import { createReplyReader } from './reply/reply-reader.ts'
import type { Decision } from './run/decision-queries.ts'
import { findTurnsOf, requestStop, selectRunningTurn } from './run/hold-queries.ts'
import { selectLine } from './run/line-queries.ts'
import type { ConversationKey, Run, RunKey } from './run/run.ts'
import { type FoundRun, findRun, findRuns } from './run/run-queries.ts'
import { isEnded } from './run/run-state.ts'
import type { Approvals } from './running/approvals.ts'
import type { LiveTurn, TurnRunner } from './running/turn-runner.ts'
import type { AcceptedTurn, TurnOrigin, TurnRequest } from './turn.ts'

/** What a message does that comes while a turn is running. */
export type OnBusy = 'reject' | 'wait' | 'interrupt'
/** What cancelling has left: the text that is kept is what was sent. */
export type Receipt = Pick<Run, 'status' | 'finishReason' | 'usage'> & { runId: string; textLength: number }
export type RunList = { conversationId: string; pageSize: number; continuationToken: string | null }
/** A message of a user that comes with files or without; of an edit, absent leaves those that there are. */
export type SentMessage = TurnOrigin & { text: string; given?: readonly GivenAttachment[] | undefined }
/** A message of a user, and the reply to it if there is one. */
export type Exchange = { question: Message; reply: Message | null }
export type TurnService = ReturnType<typeof createTurnService>

/** Milliseconds that another node has to stop a run when it is asked to, and between looks whether it has. */
const REMOTE_STOP_MS = 5_000
const REMOTE_LOOK_MS = 50

/** Turns as callers see them: send, try again, read, cancel, delete with all that is under way. */
export function createTurnService(deps: {
  database: Database
  clock: Clock
  acceptance: TurnAcceptance
  approvals: Pick<Approvals, 'decide'>
  runner: TurnRunner
  conversations: Pick<ConversationService, 'get' | 'remove'>
  conversationTurns: ConversationTurns
  organizations: Pick<OrganizationService, 'tokenSecret'>
  files: Pick<TurnFiles, 'attach'>
  recentTalk: Pick<RecentTalk, 'forget'>
}) {
  const {
    database,
    clock,
    acceptance,
    approvals,
    runner,
    conversations,
    conversationTurns,
    organizations,
    files,
    recentTalk,
  } = deps
  const reader = createReplyReader({ database, conversations: conversationTurns })

  async function getRun(key: RunKey): Promise<FoundRun> {
    await conversations.get(key.organizationId, key.conversationId)
    const found = await findRun(database, key)
    if (!found) throw new AppError('not_found', 'the conversation has no such run')
    return found
  }

  /** Makes a run stop, wherever it is executed, and waits until its end is stored. */
  async function stop(key: RunKey, how: Extract<Stop, { reason: string }>): Promise<void> {
    const { organizationId, conversationId, runId } = key
    const request = requestStop(database, { organizationId, conversationId, runId, reason: how.reason })
    let isAsked = false
    // From the beginning each time: what waited may have begun to run meanwhile, here or elsewhere.
    for (let waited = 0; waited <= REMOTE_STOP_MS; waited += REMOTE_LOOK_MS) {
      if (await runner.stop(runId, how)) return
      const found = await findRun(database, key)
      if (!found || isEnded(found.run.status)) return
      if (found.run.status === 'accepted') await endWaiting(key, found.run, how)
      else if (!isAsked) isAsked = (await database.write([request]))[0] === 1
      await wait(REMOTE_LOOK_MS)
    }
  }

  /** Ends a run that waits for its place on another node, which finds its place gone then. */
  async function endWaiting(key: RunKey, run: Run, how: Extract<Stop, { reason: string }>): Promise<void> {
    const { kind, userMessageId, replyMessageId, aiSystem, model, attempts, firstTokenAt, budget } = run
    const nothing: Progress = { context: null, outcome: null, firstTokenAt, aiSystem, model }
    const { isUsageEstimated, ...end } = endOf('accepted', nothing, [], how, null)
    const { statements: batch } = endingOf(
      { database, clock, conversations: conversationTurns },
      {
        ...{ ...key, fence: null, kind, userMessageId, replyMessageId, aiSystem, model, attempts, firstTokenAt },
        ...{ events: [], isUsageEstimated, budget, claimId: run.claimId, userText: null, end },
      },
    )
    // A conflict says that it has begun to run, or has ended, in this very moment.
    await database.write(batch).catch((error: unknown) => {
      if (!(error instanceof WriteConflict)) throw error
    })
  }

  /** Accepts a message with the files that it comes with. */
  async function withFiles(
    find: () => Promise<ConversationForTurn>,
    { given, ...request }: SentMessage,
    accept: (request: TurnRequest) => Promise<AcceptedTurn>,
  ): Promise<AcceptedTurn> {
    if (given === undefined) return accept(request)
    return files.attach(await find(), given, (attached) => accept({ ...request, attached }))
  }

  const finder =
    ({ organizationId }: TurnOrigin, conversationId: string) =>
    async () =>
      existing(await conversationTurns.find({ organizationId, conversationId }))

  async function place(conversationId: string, request: TurnRequest, onBusy: OnBusy): Promise<AcceptedTurn> {
    try {
      return await acceptance.accept(conversationId, request)
    } catch (error) {
      const runId = error instanceof AppError && error.code === 'conflict' ? error.runId : undefined
      if (runId === undefined || onBusy === 'reject') throw error
      const turn = await acceptance.enqueue(conversationId, request)
      if (onBusy === 'interrupt') {
        const { organizationId } = request
        const message = 'a newer message has interrupted the turn'
        // Not awaited: its end is what the turn that was just accepted waits for.
        void stop({ organizationId, conversationId, runId }, { reason: 'interrupted', message }).catch(() => {})
      }
      return turn
    }
  }

  return {
    /**
     * Sends a message to a conversation; afterwards the turn goes on by itself. While another turn runs it throws 409
     * (`reject`), waits for its place (`wait`), or makes the other stop first (`interrupt`); 429 when too many wait.
     */
    async send(conversationId: string, message: SentMessage, onBusy: OnBusy): Promise<LiveTurn> {
      const find = finder(message, conversationId)
      return runner.run(await withFiles(find, message, (request) => place(conversationId, request, onBusy)))
    },

    /** Stores a new conversation and sends the first message to it. */
    async startWith(started: StartedConversation, message: SentMessage): Promise<LiveTurn> {
      const systemText = started.messages.find(({ role }) => role === 'system')?.content ?? null
      const find = async () => forTurn(started.conversation, systemText)
      return runner.run(await withFiles(find, message, (request) => acceptance.acceptFirst(started, request)))
    },

    /** Another try at the last reply. Throws what {@link TurnAcceptance} throws. */
    async regenerate(conversationId: string, origin: TurnOrigin): Promise<LiveTurn> {
      return runner.run(await acceptance.regenerate(conversationId, origin))
    },

    /** Another text for the last message of the user, and a reply to that. */
    async edit(conversationId: string, messageId: string, message: SentMessage): Promise<LiveTurn> {
      const accept = (request: TurnRequest) => acceptance.edit(conversationId, messageId, request)
      return runner.run(await withFiles(finder(message, conversationId), message, accept))
    },

    /** The results of the calls that a reply has ended with, and the reply to those. */
    async answerTools(conversationId: string, origin: TurnOrigin, answers: readonly ToolAnswer[]): Promise<LiveTurn> {
      return runner.run(await acceptance.answerTools(conversationId, origin, answers))
    },

    /** Allows or refuses a call that a run waits for. Throws 404, 410, 409 and 400. */
    async decide(key: RunKey, toolCallId: string, decision: Decision): Promise<void> {
      await getRun(key)
      await approvals.decide(key, toolCallId, decision)
    },

    /** A run's record. Throws 404 and 410. */
    getRun: async (key: RunKey): Promise<FoundRun> => getRun(key),

    /** What a run answered and with what, also when other messages have taken their places. Throws 404 and 410. */
    async exchangeOf(key: RunKey): Promise<Exchange> {
      const { run } = await getRun(key)
      const [question, reply] = await Promise.all([
        conversationTurns.findMessageOrReplaced(key, run.userMessageId),
        conversationTurns.findMessageOrReplaced(key, run.replyMessageId),
      ])
      if (!question) throw new Error(`the run ${run.id} has no question`)
      return { question, reply: reply ?? null }
    },

    /** Runs of a conversation, newest first. Throws 404 and 410. */
    async listRuns(
      organizationId: string,
      { conversationId, pageSize, continuationToken }: RunList,
    ): Promise<Page<Run>> {
      await conversations.get(organizationId, conversationId)
      const secret = await organizations.tokenSecret(organizationId)
      const query = ['runs', conversationId]
      const after = continuationToken === null ? null : readContinuationToken(secret, query, continuationToken)
      const rows = await findRuns(database, { organizationId, conversationId }, after, pageSize + 1)
      return toPage(rows, pageSize, (last) => createContinuationToken(secret, query, last.id))
    },

    /** A run's reply, under way here, elsewhere, or ended. Throws 404 and 410. */
    async read(key: RunKey): Promise<ReadableRun> {
      const found = await getRun(key)
      const live = runner.find(key.runId)
      if (live) return live
      const reply = isEnded(found.run.status) ? await reader.ended(key, found) : reader.follow(key)
      return { conversationId: key.conversationId, runId: key.runId, messageId: found.run.replyMessageId, reply }
    },

    /** Stops a run and says what is left of it; a run that has ended gives the same receipt again. Throws 404 and 410. */
    async cancel(key: RunKey): Promise<Receipt> {
      if (!isEnded((await getRun(key)).run.status)) await stop(key, { reason: 'cancelled' })
      const { run, eventLengths } = await getRun(key)
      if (!isEnded(run.status)) {
        throw new AppError('unavailable', 'the server that executes the run does not answer', {
          ...{ conversationId: key.conversationId, runId: key.runId },
          retryAfterMs: 1_000,
        })
      }
      return {
        runId: run.id,
        status: run.status,
        finishReason: run.finishReason,
        usage: run.usage,
        textLength: textLengthOf(eventLengths ?? ''),
      }
    },

    /** Deletes a conversation; a turn that is running on it is cancelled. Throws 404 and 410. */
    async removeConversation(organizationId: string, conversationId: string): Promise<void> {
      await conversations.remove(organizationId, conversationId)
      recentTalk.forget(conversationId)
      const key = { organizationId, conversationId }
      // In this order: one that leaves the line between the two looks is seen holding the conversation.
      const waiting = await selectLine(database, key)
      const held = await selectRunningTurn(database, key)
      const stops = [...waiting, ...held].map(({ run_id }) => stop({ ...key, runId: run_id }, { reason: 'cancelled' }))
      const failed = (await Promise.allSettled(stops)).find((one) => one.status === 'rejected')
      if (failed) throw failed.reason
    },

    /** Cancels all turns under way on conversations that are deleted, so that no other turn can begin on them. */
    async stopAll(organizationId: string, conversationIds: readonly string[]): Promise<void> {
      const [waiting, held] = await Promise.all([
        findTurnsOf(database, 'waiting_turn', organizationId, conversationIds),
        findTurnsOf(database, 'running_turn', organizationId, conversationIds),
      ])
      // Together: one whose server is gone keeps everybody waiting for as long as that may take to answer.
      await Promise.all([...waiting, ...held].map((key) => stop(key, { reason: 'cancelled' })))
      for (const id of conversationIds) recentTalk.forget(id)
    },

    /** Up to `limit` runs of a conversation, deleted or not, newest first, behind the id `after`. */
    runsOf: (key: ConversationKey, after: string | null, limit: number): Promise<Run[]> =>
      findRuns(database, key, after, limit),
  }
}
