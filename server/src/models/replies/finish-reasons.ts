import type { ModelFinishReason, ModelMessage, ModelResult, ModelUsage } from '../model.ts'
import type { ToolCall } from '../tool-call.ts'

/** What a provider's word for the end of a reply means: one of ours, that it gave up, or nobody knows. */
export type Ending = ModelFinishReason | 'failed' | 'unknown'

/** The words of all providers in lower case, with `_` for everything that is no letter or number. */
const WORDS: Readonly<Record<Exclude<Ending, 'unknown'>, string>> = {
  stop: `stop stopped stop_sequence stop_sequences stop_string stop_str stop_token stop_criteria stop_criteria_met
    end end_turn end_of_turn end_of_text end_of_sequence endoftext eos eos_token eos_token_found eot eot_id eom_id im_end
    complete completed complete_turn done finish finished success normal natural pause_turn return`,
  length: `length max_tokens max_token max_output_tokens max_new_tokens max_completion_tokens max_length max_context
    max_tokens_reached model_length model_context_window_exceeded context_length context_length_exceeded
    context_window_exceeded context_window token_limit token_limit_reached length_capped truncated limit`,
  tool_calls: 'tool_calls tool_call tool_use tool_uses tool function_call function_calls function',
  content_filter: `content_filter content_filtered content_policy content_policy_violation content_moderation filtered
    blocked flagged moderation safety unsafe sensitive recitation language blocklist prohibited_content spii
    image_safety image_prohibited_content image_recitation model_armor guardrail guardrail_intervened
    guardrails refusal refused error_toxic policy_violation`,
  failed: `error abort aborted failed failure cancelled canceled user_cancel interrupted timeout timed_out time_limit
    insufficient_system_resource network_error internal_error server_error model_error engine_error error_limit
    overloaded unavailable service_unavailable rate_limit malformed_function_call malformed_tool_call
    malformed_tool_use malformed_model_output malformed_response unexpected_tool_call too_many_tool_calls
    missing_thought_signature no_image image_other user_stopped
    model_unloaded`,
}

const ENDINGS: ReadonlyMap<string, Ending> = new Map(
  (Object.keys(WORDS) as (keyof typeof WORDS)[]).flatMap((ending) =>
    WORDS[ending].split(/\s+/).map((word): [string, Ending] => [word, ending]),
  ),
)

/** Parts of words that are in no list: providers make up new ones. The first that fits counts. */
const LIKELY: readonly [RegExp, Ending][] = [
  [/filter|safety|prohibited|polic(?:y|ies)|guardrail|blocked/, 'content_filter'],
  [/error|malformed|abort|fail|cancel|unavailable|insufficient|overload|time_?out/, 'failed'],
  [/max_|_length|length_|_limit|context_window/, 'length'],
  [/^stop_|_stop$|^eos_|^end_of_/, 'stop'],
]

/** What stands before the word itself in the names of enumerations. */
const PREFIX = /^(?:finish_?reason|finish_type|stop_?reason|completion_reason)_(?=.)/

/** How some servers write that there is no reason yet. */
const NO_REASON: ReadonlySet<string> = new Set(['', 'null', 'none', 'undefined'])

/** Whether a provider says why it stopped, and not only that it has a field for it. */
export function isFinishReason(raw: unknown): raw is string {
  return typeof raw === 'string' && !NO_REASON.has(raw.trim().toLowerCase())
}

/**
 * What a finish reason means, in any case and with what some put around it: `STOP_SEQUENCE`, `FinishReason.STOP`,
 * `content_filter: SAFETY`. The narrower word, which stands last, says more than the one before it.
 */
export function endingOf(raw: string): Ending {
  const words = [raw, ...raw.split(/[:/(),;|]+/).reverse()].slice(0, 8).map(plainWord)
  for (const word of words) {
    const ending = ENDINGS.get(word)
    if (ending !== undefined) return ending
  }
  for (const [likely, ending] of LIKELY) if (words.some((word) => likely.test(word))) return ending
  return 'unknown'
}

function plainWord(raw: string): string {
  const word = raw
    .slice(0, 128)
    .replace(/([a-z])([A-Z])/g, '$1_$2')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '_')
    .replace(/^_|_$/g, '')
  return word.replace(PREFIX, '')
}

/** A reply that came to its end and is no answer all the same: the end of a sentence that begins with who sent it. */
export class NoAnswerError extends Error {
  /** The provider's own word for it; may hold anything. */
  readonly said: string

  constructor(message: string, said = '') {
    super(message)
    this.name = 'NoAnswerError'
    this.said = said
  }
}

/**
 * Whether the model has said something in this turn before it called tools: some then have nothing to add to it, and their
 * empty reply is no failure.
 */
export function hasSpoken(messages: readonly ModelMessage[]): boolean {
  if (messages.at(-1)?.role !== 'tool') return false
  const step = messages.slice(messages.findLastIndex(({ role }) => role === 'user') + 1)
  return step.some(({ role, content }) => role === 'assistant' && content.trim() !== '')
}

/** A reply that is over, as it came. */
export type EndedReply = {
  ending: Ending
  /** The provider's own word. */
  raw: string
  /** There is something to read: in it, or before the calls that it follows. */
  hasText: boolean
  toolCalls: readonly ToolCall[]
  usage: ModelUsage | null
}

/**
 * What a reply has come to. Calls count whatever the finish reason says, and a finish reason without calls does not make
 * any: nobody would answer them. Throws {@link NoAnswerError} when the provider gave up, or when there is nothing of a
 * reply that claims to be one.
 */
export function resultOf({ ending, raw, hasText, toolCalls, usage }: EndedReply): ModelResult {
  if (ending === 'failed') throw new NoAnswerError('stopped before it was done', raw)
  const isEmpty = !hasText && toolCalls.length === 0
  if (isEmpty && ending === 'unknown') throw new NoAnswerError('stopped for a reason that is not known', raw)
  if (isEmpty && (ending === 'stop' || ending === 'tool_calls')) throw new NoAnswerError('sent an empty reply')
  const isWhole = ending !== 'length' && ending !== 'content_filter'
  const finishReason = isWhole ? (toolCalls.length > 0 ? 'tool_calls' : 'stop') : ending
  return {
    finishReason,
    usage,
    ...(raw !== finishReason && { rawFinishReason: raw }),
    ...(toolCalls.length > 0 && { toolCalls }),
  }
}
