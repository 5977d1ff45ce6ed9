import type { WindowRefusal } from './refusal.ts'

/** How the known providers and servers say so. Facts: each stands in a public report of the provider that is named. */
const TOO_LONG: readonly RegExp[] = [
  // OpenAI, Azure, DeepSeek, vLLM, OpenRouter.
  /context_length_exceeded|maximum context length/i,
  /exceeds? (?:the )?(?:model'?s? )?(?:maximum |max |available )?context (?:window|length|size|limit)/i,
  // Anthropic.
  /prompt is too long|exceed context limit|request_too_large/i,
  // Google.
  /input token count .{0,40}exceeds/i,
  // Mistral, Groq, xAI, Moonshot, MiniMax, Z.ai.
  /too large for model with|reduce the length of the (?:messages|prompt)|maximum prompt length|exceeded model token limit/i,
  /context window exceeds limit|prompt exceeds max length|token count of [\d,]{1,15} exceeds/i,
  // Cohere, Bedrock.
  /too many tokens|input is too long|input tokens? exceed|number of input tokens exceeds/i,
  // vLLM, llama.cpp, LM Studio, Ollama, TGI.
  /too long to fit into the model|longer than the maximum model length|exceed_context_size|exceeds the available context/i,
  /when context the overflows|greater than the context length|context size has been exceeded/i,
  /prompt too long|exceeds maximum context|`?inputs`? tokens \+ `?max_new_tokens`? must be/i,
  /prompt has more tokens than|tokens?_limit_exceeded|string too long|max_prompt_length/i,
]

/** What is too large for the tokens of a minute will not fit into the next one either. */
const TOO_LARGE = /request too large.{0,200}limit:? ?([\d,]{1,15}), ?requested:? ?([\d,]{1,15})/is

/** Where they say how many tokens there may be. */
const MOST: readonly RegExp[] = [
  /maximum context length (?:is|of) (?:only )?([\d,]{1,15})/i,
  /(?<![\d,])([\d,]{1,15}) maximum context length/i,
  /maximum context length \(([\d,]{1,15})\)/i,
  /context length (?:of )?(?:only )?\(?([\d,]{1,15})/i,
  /tokens? > ([\d,]{1,15})/i,
  /\+ [\d,]{1,15} > ([\d,]{1,15})/,
  /maximum number of (?:input )?tokens allowed ?\(?([\d,]{1,15})/i,
  /maximum prompt length is ([\d,]{1,15})/i,
  /available context size \(([\d,]{1,15})/i,
  /"n_ctx": ?(\d{1,15})/,
  /maximum model length of ([\d,]{1,15})/i,
  /cannot exceed ([\d,]{1,15})/i,
  /must be <= ([\d,]{1,15})/i,
  /token limit:? ([\d,]{1,15})/i,
  /limit of ([\d,]{1,15})/i,
  /context (?:window|size|limit)(?: of| is|:)? ?\(?([\d,]{1,15})/i,
]

/** And how many there were. */
const SENT: readonly RegExp[] = [
  /requested (?:about )?([\d,]{1,15}) tokens/i,
  /resulted in ([\d,]{1,15}) tokens/i,
  /prompt is too long: ([\d,]{1,15})/i,
  /input token count \(?([\d,]{1,15})/i,
  /prompt contains ([\d,]{1,15}) tokens/i,
  /request contains ([\d,]{1,15})/i,
  /"n_prompt_tokens": ?(\d{1,15})/,
  /(?:total|input|prompt)?,? ?\(?length ([\d,]{1,15})\)/i,
  /received ([\d,]{1,15})/i,
  /token count of ([\d,]{1,15})/i,
  /first ([\d,]{1,15}) tokens/i,
]

/** Whether an answer says that the request is longer than the model's window. Some servers say it with 500, or in a stream. */
export function readWindowRefusal(status: number, said: string): WindowRefusal | null {
  const large = TOO_LARGE.exec(said)
  if (large && (status === 413 || status === 429)) {
    return { about: 'window', most: numberIn(large[1]), sent: numberIn(large[2]) }
  }
  if (status === 429 || status === 401 || status === 403 || status === 404) return null
  if (!TOO_LONG.some((pattern) => pattern.test(said))) {
    return status === 413 ? { about: 'window', most: null, sent: null } : null
  }
  return { about: 'window', most: firstIn(MOST, said), sent: firstIn(SENT, said) }
}

function firstIn(patterns: readonly RegExp[], said: string): number | null {
  for (const pattern of patterns) {
    const found = numberIn(pattern.exec(said)?.[1])
    if (found !== null) return found
  }
  return null
}

function numberIn(digits: string | undefined): number | null {
  const value = Number((digits ?? '').replaceAll(',', ''))
  return Number.isSafeInteger(value) && value > 0 ? value : null
}
