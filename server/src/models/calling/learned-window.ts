import { estimateTokens } from '../../lib/text/token-estimate.ts'
import type { ModelRequest } from '../model.ts'
import type { WindowRefusal } from '../refusals/refusal.ts'
import type { ModelSettings } from '../settings.ts'
import { tokensOfMessage } from './fit-window.ts'

/** Tokens that a model has been found to see, and how many of its tokens one of our estimate stands for at most. */
export type LearnedWindow = { tokens: number; scale: number }

type Sent = Pick<ModelRequest, 'system' | 'messages' | 'settings' | 'tools'>

/** Tokens kept free for a reply where nothing says how long it may be. */
const REPLY_TOKENS = 4_096
/** Providers count in other ways than we estimate. */
const MARGIN = 0.95
/** Of what was sent, where a provider does not say how much it takes. */
const LESS = 0.6
const LEAST_WINDOW = 512

/** What a refusal says of the window; null where it says nothing new. */
export function learnWindow(known: LearnedWindow | null, refusal: WindowRefusal, sent: Sent): LearnedWindow | null {
  const estimate = promptOf(sent)
  const reply = sent.settings.maxTokens ?? 0
  const told = refusal.most !== null && (known === null || refusal.most !== known.tokens) ? refusal.most : null
  // Once it was told, and is refused all the same, what was sent has more tokens than we think.
  const tokens = Math.max(
    LEAST_WINDOW,
    Math.floor(told ?? Math.min(known?.tokens ?? Number.MAX_SAFE_INTEGER, estimate) * LESS),
  )
  if (known !== null && tokens >= known.tokens) return null
  const counted = refusal.sent === null ? 0 : refusal.sent / (estimate + (refusal.sent > estimate + reply ? reply : 0))
  return { tokens, scale: Math.max(known?.scale ?? 1, Math.min(counted, 4)) }
}

/** Tokens of our estimate that the messages may have. */
export function roomIn(window: LearnedWindow, request: Sent): number {
  const reply = replyIn(window, request.settings).maxTokens ?? Math.min(REPLY_TOKENS, window.tokens / 4)
  return Math.floor(((window.tokens - reply) * MARGIN) / window.scale) - besideOf(request)
}

/** A reply that leaves room for a prompt. */
export function replyIn({ tokens }: LearnedWindow, { maxTokens }: ModelSettings): Pick<ModelSettings, 'maxTokens'> {
  return maxTokens === undefined ? {} : { maxTokens: Math.min(maxTokens, Math.floor(tokens / 2)) }
}

function promptOf(sent: Sent): number {
  return besideOf(sent) + sent.messages.reduce((sum, message) => sum + tokensOfMessage(message), 0)
}

function besideOf({ system, tools = [], settings }: Sent): number {
  const form = settings.responseFormat === undefined ? '' : JSON.stringify(settings.responseFormat)
  return estimateTokens(`${system ?? ''}${tools.length > 0 ? JSON.stringify(tools) : ''}${form}`)
}
