import { describe, expect, test } from 'vitest'
import { AI_SYSTEM_FACTS, AI_SYSTEMS, parseAiSystem } from './ai-systems.ts'
import { contextWindow } from './context-window.ts'

describe('the names of the AI systems', () => {
  test('ours are known in any case', () => {
    for (const name of AI_SYSTEMS) {
      expect(parseAiSystem(name)).toBe(name)
      expect(parseAiSystem(name.toUpperCase())).toBe(name)
    }
  })

  test.each([
    ['OpenAi', 'openai'],
    ['AzureOpenAi', 'azure-openai'],
    ['Azure OpenAI', 'azure-openai'],
    ['azure_openai', 'azure-openai'],
    ['GoogleGemini', 'google'],
    ['Gemini', 'google'],
    ['HyperleapAi', 'default'],
    ['Anthropic', 'anthropic'],
    ['Claude', 'anthropic'],
    ['Groq', 'groq'],
    ['Cohere', 'cohere'],
    ['OpenAICompatible', 'openai-compatible'],
    ['AmazonBedrock', 'bedrock'],
    ['0', 'default'],
    ['4', 'google'],
    [0, 'default'],
    [1, 'openai'],
    [2, 'azure-openai'],
    [3, 'anthropic'],
    [4, 'google'],
    [5, 'groq'],
    [6, 'cohere'],
  ])('%s is %s', (theirs, ours) => {
    expect(parseAiSystem(theirs)).toBe(ours)
  })

  test.each(['', 'skynet', '7', '-1', '00', '1.0', 7, -1, 1.5, Number.NaN, 'constructor', '__proto__'])(
    '%s is none',
    (value) => {
      expect(parseAiSystem(value)).toBeNull()
    },
  )

  test('only OpenAI’s own take an assistant’s message first', () => {
    expect(AI_SYSTEMS.filter((name) => !AI_SYSTEM_FACTS[name].userFirst)).toEqual(['openai', 'azure-openai'])
  })
})

test.each([
  ['openai', 'gpt-4o-mini', 128_000],
  ['openai', 'gpt-4.1', 1_047_576],
  ['openai', 'gpt-4-0613', 8_192],
  ['openai', 'gpt-77', 128_000],
  ['azure-openai', 'my-deployment', 32_000],
  ['anthropic', 'claude-sonnet-4-6', 1_000_000],
  ['google', 'gemini-3.5-flash', 1_048_576],
  ['bedrock', 'us.anthropic.claude-sonnet-4-6-v1', 1_000_000],
  ['bedrock', 'eu.amazon.nova-lite-v1:0', 300_000],
  ['openai-compatible', 'anthropic/claude-sonnet-4.5', 200_000],
  ['openai-compatible', 'Qwen/Qwen3-8B', 32_000],
  ['ollama', 'gpt-oss:20b', 8_192],
  ['cohere', 'command-r-plus', 128_000],
] as const)('the window of %s %s is %i tokens', (aiSystem, model, tokens) => {
  expect(contextWindow(aiSystem, model)).toBe(tokens)
})
