import { expect, test } from 'vitest'
import { fitFiles } from './calling/fit-files.ts'
import type { ModelMessage } from './model.ts'
import type { FileKind } from './model-file.ts'
import { takesFile } from './takes-file.ts'

function kinds(aiSystem: string, model: string, stated?: FileKind[]): string {
  const types = ['image/png', 'image/gif', 'application/pdf', 'text/plain']
  return types.filter((type) => takesFile({ aiSystem, model }, type, stated)).join(' ')
}
const ALL = 'image/png image/gif application/pdf text/plain'
const IMAGES = 'image/png image/gif text/plain'

test.each([
  ['openai', 'gpt-4.1-mini', ALL],
  ['openai', 'gpt-4o-2024-11-20', ALL],
  ['openai', 'o3-mini', 'text/plain'],
  ['openai', 'o3', ALL],
  ['openai', 'gpt-4-turbo', IMAGES],
  ['openai', 'gpt-4', 'text/plain'],
  ['openai', 'gpt-3.5-turbo', 'text/plain'],
  ['OpenAi', 'GPT-4o', ALL],
  ['azure-openai', 'gpt-4.1-mini', IMAGES],
  ['azure-openai', 'our-deployment', 'text/plain'],
  ['anthropic', 'claude-sonnet-4-6', ALL],
  ['anthropic', 'claude-3-haiku-20240307', IMAGES],
  ['anthropic', 'claude-2.1', 'text/plain'],
  ['google', 'gemini-3.5-flash', 'image/png application/pdf text/plain'],
  ['bedrock', 'eu.anthropic.claude-sonnet-4-6-v1:0', ALL],
  ['bedrock', 'anthropic.claude-v2', 'text/plain'],
  ['bedrock', 'us.amazon.nova-lite-v1:0', 'text/plain'],
  ['openai-compatible', 'gpt-4o', 'text/plain'],
  ['ollama', 'llava', 'text/plain'],
  ['rehearsal', 'rehearsal', ALL],
])('%s takes with %s: %s', (aiSystem, model, expected) => {
  expect(kinds(aiSystem, model)).toBe(expected)
})

test('what the configuration says counts for models that nobody knows', () => {
  expect(kinds('openai-compatible', 'llava', ['image'])).toBe(IMAGES)
  expect(kinds('ollama', 'llava', ['image', 'pdf'])).toBe(ALL)
  expect(kinds('openai', 'gpt-3.5-turbo', ['image', 'pdf'])).toBe('text/plain')
})

test('a model gets a note for each file that it cannot take', () => {
  const file = (id: string, mediaType: string) => ({
    id,
    name: `${id}"`,
    mediaType,
    tokens: 1,
    bytes: Buffer.from('x'),
  })
  const [image, pdf] = [file('a', 'image/png'), file('b', 'application/pdf')]
  const messages: ModelMessage[] = [
    { role: 'user', content: 'Look', attachments: [image, pdf] },
    { role: 'assistant', content: 'Yes' },
    { role: 'user', content: 'So?' },
  ]
  const fitted = (aiSystem: string, model: string) => fitFiles(messages, { aiSystem, model }, undefined)
  expect(fitted('anthropic', 'claude-sonnet-4-6')).toEqual(messages)
  const note = (name: string, type: string) => `[A file was attached here that you cannot see: "${name}\\"" (${type})]`
  expect(fitted('openai', 'gpt-4-turbo')).toEqual([
    { role: 'user', content: `${note('b', 'application/pdf')}\n\nLook`, attachments: [image] },
    ...messages.slice(1),
  ])
  expect(fitted('groq', 'llama')).toEqual([
    { role: 'user', content: `${note('a', 'image/png')}\n\n${note('b', 'application/pdf')}\n\nLook` },
    ...messages.slice(1),
  ])
})
