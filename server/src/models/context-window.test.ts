import { expect, test } from 'vitest'
import { AI_SYSTEM_FACTS, AI_SYSTEMS, type AiSystem } from './ai-systems.ts'
import { contextWindow, knownWindow } from './context-window.ts'

test.each<[AiSystem, string, number]>([
  ['openai', 'gpt-4', 8_192],
  ['openai', 'gpt-4-32k-0613', 32_768],
  ['openai', 'gpt-4o-mini', 128_000],
  ['openai', 'gpt-4.1-nano', 1_047_576],
  ['openai', 'gpt-5.2', 272_000],
  ['openai', 'gpt-5-chat-latest', 128_000],
  ['openai', 'o1', 200_000],
  ['openai', 'o1-mini', 128_000],
  ['anthropic', 'claude-sonnet-4-5-20250929', 200_000],
  ['anthropic', 'claude-sonnet-4-6', 1_000_000],
  ['anthropic', 'claude-haiku-4-5', 200_000],
  ['bedrock', 'eu.anthropic.claude-opus-4-6-v1:0', 1_000_000],
  ['bedrock', 'anthropic.claude-v2:1', 200_000],
  ['bedrock', 'anthropic.claude-v2', 100_000],
  ['bedrock', 'us.meta.llama3-3-70b-instruct-v1:0', 128_000],
  ['bedrock', 'meta.llama3-8b-instruct-v1:0', 8_192],
  ['bedrock', 'us.amazon.nova-premier-v1:0', 1_000_000],
  ['openai-compatible', 'anthropic/Claude-3.5-Sonnet', 200_000],
  ['groq', 'openai/gpt-oss-120b', 131_072],
  ['cohere', 'command-a-03-2025', 256_000],
  ['cohere', 'command-light', 4_096],
])('%s knows %s', (aiSystem, model, tokens) => {
  expect(knownWindow(aiSystem, model)).toBe(tokens)
  expect(contextWindow(aiSystem, model)).toBe(tokens)
})

test('an unknown name is given what is safe for its system', () => {
  for (const aiSystem of AI_SYSTEMS) {
    expect(knownWindow(aiSystem, 'my-own-model')).toBeNull()
    expect(contextWindow(aiSystem, 'my-own-model')).toBe(AI_SYSTEM_FACTS[aiSystem].contextWindow)
  }
})

test('Ollama cuts prompts whatever the model could do', () => {
  expect(knownWindow('ollama', 'gpt-oss:20b')).toBeNull()
})
