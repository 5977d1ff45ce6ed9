import { AppError } from '../../errors.ts'
import type { ConversationKey } from '../../lib/conversation-key.ts'
import type { GivenAttachment } from '../attachments/attachment.ts'
import { type ConversationForTurn, forTurn } from '../conversations/conversation.ts'
import { existing } from '../conversations/conversation-service.ts'
import type { ConversationTurns } from '../conversations/for-turns/conversation-turns.ts'
import type { StartedConversation } from '../conversations/start-conversation.ts'
import type { ToolAnswer } from './accepting/tool-answers.ts'
import type { TurnAcceptance } from './accepting/turn-acceptance.ts'
import type { TurnFiles } from './context/files-for-model.ts'
import type { LiveTurn } from './reply/readable-run.ts'
import type { RunStopper } from './run-stopper.ts'
import type { TurnRunner } from './running/turn-runner.ts'
import type { AcceptedTurn, TurnOrigin, TurnRequest } from './turn.ts'

/** What a message does that comes while a turn is running. */
export type OnBusy = 'reject' | 'wait' | 'interrupt'
/** A message of a user that comes with files or without; of an edit, absent leaves those that there are. */
export type SentMessage = TurnOrigin & { text: string; given?: readonly GivenAttachment[] | undefined }
export type TurnService = ReturnType<typeof createTurnService>

/** Sends messages, and whatever else begins a turn. Afterwards the turn goes on by itself. */
export function createTurnService(deps: {
  acceptance: TurnAcceptance
  runner: Pick<TurnRunner, 'run'>
  stopper: Pick<RunStopper, 'stop'>
  conversations: Pick<ConversationTurns, 'find'>
  files: Pick<TurnFiles, 'store'>
}) {
  const { acceptance, runner, stopper, conversations, files } = deps

  /** The request with its files, which are stored already. A message without files needs no look at the conversation. */
  async function withFiles(message: SentMessage, key: ConversationKey): Promise<TurnRequest> {
    if (message.given === undefined) return message
    return withFilesFor(existing(await conversations.find(key)), message)
  }

  async function withFilesFor(
    conversation: ConversationForTurn,
    { given, ...request }: SentMessage,
  ): Promise<TurnRequest> {
    return given === undefined ? request : { ...request, attached: await files.store(conversation, given) }
  }

  /** Executes a turn as soon as it is accepted; if it is not, what was stored for it is given up. */
  async function runOnce(accepting: Promise<AcceptedTurn>, { attached }: TurnRequest): Promise<LiveTurn> {
    try {
      return runner.run(await accepting)
    } catch (error) {
      throw attached ? await attached.giveUp(error) : error
    }
  }

  async function place(key: ConversationKey, request: TurnRequest, onBusy: OnBusy): Promise<AcceptedTurn> {
    try {
      return await acceptance.accept(key, { kind: 'send', request, place: 'held' })
    } catch (error) {
      const runId = error instanceof AppError && error.code === 'conflict' ? error.runId : undefined
      if (runId === undefined || onBusy === 'reject') throw error
      const turn = await acceptance.accept(key, { kind: 'send', request, place: 'in line' })
      if (onBusy === 'interrupt') {
        const message = 'a newer message has interrupted the turn'
        // Not awaited: its end is what the turn that was just accepted waits for.
        void stopper.stop({ ...key, runId }, { reason: 'interrupted', message }).catch(() => {})
      }
      return turn
    }
  }

  return {
    /**
     * Sends a message to a conversation. While another turn runs it throws 409 (`reject`), waits for its place (`wait`),
     * or makes the other stop first (`interrupt`); 429 when too many wait.
     */
    async send(conversationId: string, message: SentMessage, onBusy: OnBusy): Promise<LiveTurn> {
      const key = { organizationId: message.organizationId, conversationId }
      const request = await withFiles(message, key)
      return runOnce(place(key, request, onBusy), request)
    },

    /** Stores a new conversation and sends the first message to it. */
    async startWith(started: StartedConversation, message: SentMessage): Promise<LiveTurn> {
      const systemText = started.messages.find(({ role }) => role === 'system')?.content ?? null
      const request = await withFilesFor(forTurn(started.conversation, systemText), message)
      return runOnce(acceptance.acceptFirst(started, request), request)
    },

    /** Another try at the last reply. Throws what {@link TurnAcceptance} throws. */
    async regenerate(conversationId: string, request: TurnOrigin): Promise<LiveTurn> {
      const key = { organizationId: request.organizationId, conversationId }
      return runner.run(await acceptance.accept(key, { kind: 'regenerate', request }))
    },

    /** Another text for a message of the user, and a reply to that in the place of all that followed. */
    async edit(conversationId: string, messageId: string, message: SentMessage): Promise<LiveTurn> {
      const key = { organizationId: message.organizationId, conversationId }
      const request = await withFiles(message, key)
      return runOnce(acceptance.accept(key, { kind: 'edit', request, messageId }), request)
    },

    /** The results of the calls that a reply has ended with, and the reply to those. */
    async answerTools(conversationId: string, request: TurnOrigin, answers: readonly ToolAnswer[]): Promise<LiveTurn> {
      const key = { organizationId: request.organizationId, conversationId }
      return runner.run(await acceptance.accept(key, { kind: 'tools', request, answers }))
    },
  }
}
