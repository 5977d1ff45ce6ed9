import type { JsonObject } from '../lib/json.ts'
import type { ModelMessage, ModelResult, ModelUsage } from './model.ts'
import type { ModelError, ModelErrorKind } from './model-error.ts'

/*
 * A call is what one step of a turn asks of its models: it goes along a chain of them, and makes attempts until one has
 * answered (`calling/resilience.ts`).
 */

/** A system, by any of its names, and a model; both may be `default`. */
export type ChainLink = { aiSystem: string; model: string }

/** One attempt at one model of the chain, and what became of it. Times are milliseconds since the Unix epoch. */
export type Attempt = {
  aiSystem: string
  model: string
  startedAt: number
  firstTokenAt: number | null
  endedAt: number
  outcome: 'completed' | ModelErrorKind
  error: string | null
  usage: ModelUsage | null
  /** The provider's own word for why it stopped, where it is none of ours. */
  finishReason?: string
  /** Where it said that it has this from. */
  citations?: readonly JsonObject[]
  /** It failed, and the provider may count its prompt all the same. */
  mayHaveCost?: true
}

/** What became of a call with all its attempts. */
export type CallOutcome =
  | { ok: true; aiSystem: string; model: string; result: ModelResult; attempts: Attempt[] }
  | { ok: false; error: ModelError; attempts: Attempt[] }

/** An attempt that is about to be made, and those that were made before it. */
export type UpcomingAttempt = ChainLink & { messages: ModelMessage[]; made: readonly Attempt[] }
