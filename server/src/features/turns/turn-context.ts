import { estimateTokens } from '../../lib/token-estimate.ts'
import { AI_SYSTEM_FACTS, parseAiSystem } from '../../models/ai-systems.ts'
import { contextWindow } from '../../models/context-window.ts'
import type { ChainLink } from '../../models/resilience.ts'
import type { ModelSettings } from '../../models/settings.ts'
import type { ConversationForTurn } from '../conversations/conversation.ts'
import { type Context, type ReadNewest, readWindow, shapeContext } from './context.ts'

/** Tokens kept free for the reply when the persona does not say how long one may be. */
const REPLY_TOKENS = 4_096
/** Even a prompt that fills the window leaves room for this much of the talk. */
const LEAST_HISTORY_TOKENS = 512

/** How a conversation's model is called. */
export function settingsOf(conversation: ConversationForTurn): ModelSettings {
  // Validated when it was written.
  return (conversation.configuration ?? {}) as ModelSettings
}

/** The conversation's model and then its fallbacks. */
export function chainOf(conversation: ConversationForTurn): ChainLink[] {
  const first = { aiSystem: conversation.aiSystem, model: conversation.model }
  return [first, ...(settingsOf(conversation).fallbacks ?? [])]
}

/**
 * What the models of the chain get to see: the frozen system text and as much of the recent talk as the smallest of
 * their windows allows, in a form that the strictest of them accepts.
 */
export async function buildContext(
  conversation: ConversationForTurn,
  readNewest: ReadNewest,
  newestId: string,
): Promise<Context> {
  const window = windowOf(conversation)
  const reply = replyTokens(conversation)
  const system = estimateTokens(conversation.systemText ?? '')
  const budget = Math.max(window - reply - system, LEAST_HISTORY_TOKENS)
  const history = await readWindow(readNewest, newestId, budget)
  return shapeContext(conversation.systemText, history, chainOf(conversation).some(wantsUserFirst))
}

/** Tokens that the longest reply may have. */
export function replyTokens(conversation: ConversationForTurn): number {
  return settingsOf(conversation).maxTokens ?? Math.min(REPLY_TOKENS, Math.floor(windowOf(conversation) / 4))
}

/** The smallest window of the chain. */
export function windowOf(conversation: ConversationForTurn): number {
  const windows = chainOf(conversation).map(({ aiSystem, model }) =>
    contextWindow(parseAiSystem(aiSystem) ?? 'default', model),
  )
  return Math.min(...windows)
}

function wantsUserFirst(link: ChainLink): boolean {
  return AI_SYSTEM_FACTS[parseAiSystem(link.aiSystem) ?? 'default'].userFirst
}
