import { AppError } from '../../errors.ts'
import type { Database } from '../../storage/database.ts'
import type { ConversationService } from '../conversations/conversation-service.ts'
import type { StartedConversation } from '../conversations/start-conversation.ts'
import type { Run, RunKey } from './run.ts'
import type { TurnAcceptance, TurnRequest } from './turn-acceptance.ts'
import { type FoundRun, findRun, selectRunningTurn } from './turn-queries.ts'
import type { LiveTurn, TurnRunner } from './turn-runner.ts'
import { isEnded } from './turn-state.ts'

/** What cancelling has left: the text that is kept is what was sent. */
export type Receipt = Pick<Run, 'status' | 'finishReason' | 'usage'> & { runId: string; textLength: number }
export type TurnService = ReturnType<typeof createTurnService>

/** Turns as callers see them: send, cancel, delete with all that is under way. */
export function createTurnService(deps: {
  database: Database
  acceptance: TurnAcceptance
  runner: TurnRunner
  conversations: Pick<ConversationService, 'get' | 'remove'>
}) {
  const { database, acceptance, runner, conversations } = deps

  async function getRun(key: RunKey): Promise<FoundRun> {
    await conversations.get(key.organizationId, key.conversationId)
    const found = await findRun(database, key)
    if (!found) throw new AppError('not_found', 'the conversation has no such run')
    return found
  }

  return {
    /** Sends a message to a conversation. Throws what `accept` throws; afterwards the turn goes on by itself. */
    async send(conversationId: string, request: TurnRequest): Promise<LiveTurn> {
      return runner.run(await acceptance.accept(conversationId, request))
    },

    /** Stores a new conversation and sends the first message to it. */
    async startWith(started: StartedConversation, request: TurnRequest): Promise<LiveTurn> {
      return runner.run(await acceptance.acceptFirst(started, request))
    },

    /** Stops a run and says what is left of it; a run that has ended gives the same receipt again. Throws 404 and 410. */
    async cancel(key: RunKey): Promise<Receipt> {
      await getRun(key)
      await runner.stop(key.runId, 'cancelled')
      const { run, eventLengths } = await getRun(key)
      if (!isEnded(run.status)) throw new AppError('conflict', 'the run is executed by another server', key)
      return {
        runId: run.id,
        status: run.status,
        finishReason: run.finishReason,
        usage: run.usage,
        textLength: sum(eventLengths ?? []),
      }
    },

    /** Deletes a conversation; a turn that is running on it is cancelled. Throws 404 and 410. */
    async removeConversation(organizationId: string, conversationId: string): Promise<void> {
      await conversations.remove(organizationId, conversationId)
      const held = (await selectRunningTurn(database, { organizationId, conversationId }))[0]
      if (held) await runner.stop(held.run_id, 'cancelled')
    },
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
