import { AI_SYSTEM_FACTS, type AiSystem } from './ai-systems.ts'

/** Tokens by the beginning of a model's name, the longer beginning before the shorter; only what the vendors document. */
const KNOWN: readonly [string, number][] = [
  ['gpt-3.5-turbo', 16_385],
  ['gpt-35-turbo', 16_385],
  ['gpt-4.1', 1_047_576],
  ['gpt-4o', 128_000],
  ['gpt-4-turbo', 128_000],
  ['gpt-4', 8_192],
  // 400,000 in all, of which this much may be the prompt.
  ['gpt-5', 272_000],
  ['gpt-oss', 131_072],
  ['o1', 128_000],
  ['o3', 200_000],
  ['o4-mini', 200_000],
  ['claude', 200_000],
  ['gemini', 1_048_576],
  ['mistral-large', 128_000],
  ['mistral-medium', 128_000],
  ['mistral-small-latest', 128_000],
  ['ministral', 128_000],
  ['llama-3.3-70b-versatile', 131_072],
  ['llama-3.1-8b-instant', 131_072],
  ['llama3-70b-8192', 8_192],
  ['llama3-8b-8192', 8_192],
  ['gemma2', 8_192],
  ['command-a', 256_000],
  ['command-r', 128_000],
  ['command', 4_096],
  ['nova-micro', 128_000],
  ['nova-lite', 300_000],
  ['nova-pro', 300_000],
]

/** Tokens that a model can see, prompt and reply together. Known names first, else what is safe for the system. */
export function contextWindow(aiSystem: AiSystem, model: string): number {
  const safe = AI_SYSTEM_FACTS[aiSystem].contextWindow
  // Ollama cuts a prompt at what it was started with, whatever the model could do.
  if (aiSystem === 'ollama' || aiSystem === 'local' || aiSystem === 'rehearsal') return safe
  // OpenRouter writes `anthropic/claude-…`, Bedrock `us.anthropic.claude-…`.
  const name = model.toLowerCase().slice(model.lastIndexOf('/') + 1)
  const bare = aiSystem === 'bedrock' ? name.replace(/^(?:[a-z-]+\.)+/, '') : name
  return KNOWN.find(([beginning]) => bare.startsWith(beginning))?.[1] ?? safe
}
