import { resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import { readProviderSettings } from '../providers/provider-settings.ts'
import { parseLocalSource } from './local-settings.ts'

describe('a source', () => {
  test.each([
    ['hf:owner/repo', { kind: 'hub', owner: 'owner', repo: 'repo', tag: null }],
    ['hf:Qwen/Qwen3-4B-GGUF:Q4_K_M', { kind: 'hub', owner: 'Qwen', repo: 'Qwen3-4B-GGUF', tag: 'Q4_K_M' }],
    ['hf:a/b:file-q8_0.gguf', { kind: 'hub', owner: 'a', repo: 'b', tag: 'file-q8_0.gguf' }],
  ])('%s is of the hub', (text, parts) => {
    expect(parseLocalSource(text)).toEqual({ id: text, ...parts })
  })

  test('is a file, which callers name without its folder', () => {
    expect(parseLocalSource('models/mine.gguf')).toEqual({
      kind: 'file',
      id: 'mine.gguf',
      path: resolve('models/mine.gguf'),
    })
  })

  test.each(['hf:owner', 'hf:../repo', 'hf:owner/..', 'hf:a/b:../c', 'hf:a/b/c', 'hf:a/b:', 'model.bin', 'qwen3'])(
    '%s is none',
    (text) => {
      expect(() => parseLocalSource(text)).toThrow(`DRAMATIS_LOCAL_MODELS holds "${text}"`)
    },
  )
})

describe('the settings', () => {
  test('have defaults', () => {
    expect(readProviderSettings({}, '/data').local).toEqual({
      sources: [],
      directory: '/data/models',
      runtime: null,
      contextSize: 8_192,
      threads: expect.any(Number),
      queue: 8,
      idleMs: 300_000,
      hubUrl: 'https://huggingface.co',
      hubToken: null,
    })
  })

  test('keep the order of the models, and the token secret', () => {
    const settings = readProviderSettings({ DRAMATIS_LOCAL_MODELS: ' hf:a/b , /m/c.gguf,', HF_TOKEN: 'hf_secret' })
    expect(settings.local.sources.map(({ id }) => id)).toEqual(['hf:a/b', 'c.gguf'])
    expect(settings.secrets).toEqual(['hf_secret'])
  })

  test.each([
    [{ DRAMATIS_LOCAL_MODELS: '/a/m.gguf,/b/m.gguf' }, 'two models with the name "m.gguf"'],
    [{ DRAMATIS_LOCAL_CONTEXT: '10' }, 'DRAMATIS_LOCAL_CONTEXT must be a whole number from 512'],
    [{ DRAMATIS_LOCAL_QUEUE: '-1' }, 'DRAMATIS_LOCAL_QUEUE'],
    [{ DRAMATIS_LOCAL_IDLE_MS: 'never' }, 'DRAMATIS_LOCAL_IDLE_MS'],
    [{ HF_ENDPOINT: 'mirror' }, 'HF_ENDPOINT'],
  ])('%o are refused', (env, message) => {
    expect(() => readProviderSettings(env)).toThrow(message)
  })
})
