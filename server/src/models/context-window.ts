import { AI_SYSTEM_FACTS, type AiSystem } from './ai-systems.ts'

/** Tokens by the beginning of a model's name, the longer beginning before the shorter; only what the vendors document. */
const KNOWN: readonly [string, number][] = [
  ['gpt-3.5-turbo-instruct', 4_096],
  ['gpt-3.5-turbo', 16_385],
  ['gpt-35-turbo', 16_385],
  ['gpt-4.1', 1_047_576],
  ['gpt-4.5', 128_000],
  ['gpt-4o', 128_000],
  ['chatgpt-4o', 128_000],
  ['gpt-4-turbo', 128_000],
  ['gpt-4-1106', 128_000],
  ['gpt-4-0125', 128_000],
  ['gpt-4-vision', 128_000],
  ['gpt-4-32k', 32_768],
  ['gpt-4', 8_192],
  ['gpt-5-chat', 128_000],
  ['gpt-5.1-chat', 128_000],
  ['gpt-5.2-chat', 128_000],
  // 400,000 in all, of which this much may be the prompt; some of the later ones take more, for another price.
  ['gpt-5', 272_000],
  ['gpt-oss', 131_072],
  ['o1-mini', 128_000],
  ['o1-preview', 128_000],
  ['o1', 200_000],
  ['o3', 200_000],
  ['o4-mini', 200_000],
  ['codex-mini', 200_000],
  ['claude-instant', 100_000],
  ['claude-2.0', 100_000],
  ['claude-v2:1', 200_000],
  ['claude-v2', 100_000],
  ['claude-opus-4-6', 1_000_000],
  ['claude-sonnet-4-6', 1_000_000],
  ['claude-opus-5-5', 1_000_000],
  ['claude', 200_000],
  ['gemini-1.0', 32_768],
  ['gemini-pro', 32_768],
  ['gemini', 1_048_576],
  ['gemma-3-1b', 32_768],
  ['gemma-3', 131_072],
  ['gemma2', 8_192],
  ['mistral-large', 128_000],
  ['mistral-medium', 128_000],
  ['mistral-small-latest', 128_000],
  ['magistral', 128_000],
  ['ministral', 128_000],
  ['devstral', 128_000],
  ['codestral', 256_000],
  ['pixtral', 128_000],
  ['open-mistral-nemo', 128_000],
  ['llama-3.3-70b-versatile', 131_072],
  ['llama-3.1-8b-instant', 131_072],
  ['llama-4', 131_072],
  ['llama3-70b-8192', 8_192],
  ['llama3-8b-8192', 8_192],
  // Bedrock, behind the name of the vendor.
  ['llama3-1', 128_000],
  ['llama3-2', 128_000],
  ['llama3-3', 128_000],
  ['llama3', 8_192],
  ['kimi-k2', 131_072],
  ['qwen3-32b', 131_072],
  ['command-a-vision', 128_000],
  ['command-a', 256_000],
  ['command-r', 128_000],
  ['command', 4_096],
  ['c4ai-aya-expanse-8b', 8_192],
  ['c4ai-aya', 128_000],
  ['nova-micro', 128_000],
  ['nova-lite', 300_000],
  ['nova-pro', 300_000],
  ['nova-premier', 1_000_000],
]

/** Tokens that a model can see, prompt and reply together, if its name says so. */
export function knownWindow(aiSystem: AiSystem, model: string): number | null {
  // Ollama cuts a prompt at what it was started with, whatever the model could do.
  if (aiSystem === 'ollama' || aiSystem === 'local' || aiSystem === 'rehearsal') return null
  // OpenRouter writes `anthropic/claude-…`, Bedrock `us.anthropic.claude-…`.
  const name = model.toLowerCase().slice(model.lastIndexOf('/') + 1)
  const bare = aiSystem === 'bedrock' ? name.replace(/^(?:[a-z-]+\.)+/, '') : name
  return KNOWN.find(([beginning]) => bare.startsWith(beginning))?.[1] ?? null
}

/** The same, and where the name says nothing what is safe for the system. */
export function contextWindow(aiSystem: AiSystem, model: string): number {
  return knownWindow(aiSystem, model) ?? AI_SYSTEM_FACTS[aiSystem].contextWindow
}
