import type { Attached } from '../attachments/attachment-service.ts'
import type { ConversationForTurn, Message, Standing } from '../conversations/conversation.ts'
import type { Claim } from '../idempotency/claim.ts'
import type { BuiltContext } from './context/build-context.ts'
import type { Payer } from './limits/token-budget.ts'
import type { Place } from './limits/turn-limits.ts'
import type { ReplyEvent, ToolEvent } from './reply/reply-event.ts'
import type { OnCrash, Reservation, RunKey, RunKind, Usage } from './run/run.ts'

/** A turn whose message is stored and whose conversation is held, or waited for: it is ours to execute. */
export type AcceptedTurn = RunKey & {
  conversation: ConversationForTurn
  userMessage: Message
  replyMessageId: string
  kind: RunKind
  /** Stands in the line of its conversation: it may only run when it has become the first and nothing else runs. */
  isInLine: boolean
  fence: number
  acceptedAt: number
  /** The idempotency claim of its request. */
  claimId: string | null
  /** The API key that asked; null where nobody knows it any more. */
  keyId: string | null
  /** What the conversation asks for; a fallback may be what answers. */
  target: { aiSystem: string; model: string }
  /** What it has reserved of the daily tokens of its key; null for a key without a budget. */
  budget: Reservation | null
  /** How its conversation stood before it; null where others may have come in between, or something is replaced. */
  standing: Standing | null
  /** What its model will be sent, where that could be made ready while it was stored. */
  earlyContext?: Promise<BuiltContext | null>
  /** What it had cost before its server stopped, where that is known. */
  earlier?: Usage
  /** What its model had thought before its server stopped, where it begins again. */
  thoughtBefore?: readonly ReplyEvent[]
  /** Where it goes on, if it waited for an approval when its server stopped. */
  resumption?: Resumption
  place: Place
}

/** The API key that asked, and how it wants the turn to behave. */
export type TurnOrigin = Payer & {
  requestId: string | null
  onCrash: OnCrash
  claim: Claim | null
}
/** `attached` is absent for a message that comes without files; an edit then leaves those that there are. */
export type TurnRequest = TurnOrigin & { text: string; attached?: Attached | undefined }

/** Where a run goes on whose server has stopped while it waited for an approval. */
export type Resumption = {
  /** What is stored of it. */
  events: readonly ReplyEvent[]
  /** Results of calls that may have been made, and will not be made again. */
  interrupted: readonly ToolEvent[]
}
