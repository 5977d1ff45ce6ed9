import { describe, expect, test } from 'vitest'
import { AI_SYSTEM_FACTS, AI_SYSTEMS } from '../ai-systems.ts'
import { configuredDefault } from './default-system.ts'
import { missingVariables, readProviderSettings } from './provider-settings.ts'
import { PROVIDER_VARIABLES } from './provider-variables.ts'

describe('reading the environment', () => {
  test('nothing set is nothing configured, at the providers’ own addresses', () => {
    const settings = readProviderSettings({})
    expect(settings.given.size).toBe(0)
    expect(settings.secrets).toEqual([])
    expect(settings.hosted.openai.modelList).toEqual({ url: 'https://api.openai.com/v1/models', headers: {} })
    expect(settings.ollama.baseUrl).toBe('http://127.0.0.1:11434')
  })

  test('an empty value counts as unset', () => {
    const settings = readProviderSettings({ OPENAI_API_KEY: '', ANTHROPIC_API_KEY: '  ', OPENAI_BASE_URL: '' })
    expect(settings.given.size).toBe(0)
    expect(settings.hosted.openai.modelList?.headers).toEqual({})
    expect(settings.hosted.openai.baseUrl).toBe('https://api.openai.com/v1')
  })

  test('what is set is trimmed, and its secrets are known as such', () => {
    const settings = readProviderSettings({
      OPENAI_API_KEY: ' key-1\n',
      OPENAI_BASE_URL: 'http://127.0.0.1:9/v1/',
      GEMINI_API_KEY: 'key-2',
      AWS_SECRET_ACCESS_KEY: 'key-3',
    })
    const { openai, google } = settings.hosted
    expect(openai.baseUrl).toBe('http://127.0.0.1:9/v1')
    expect(openai.modelList?.headers).toEqual({ authorization: 'Bearer key-1' })
    expect(google.modelList?.headers).toEqual({ 'x-goog-api-key': 'key-2' })
    expect(settings.secrets).toEqual(['key-1', 'key-2', 'key-3'])
  })

  test('the settings cannot be changed', () => {
    const settings = readProviderSettings({}) as {
      defaultModel: string | null
      hosted: { openai: { baseUrl: string | null } }
    }
    expect(() => {
      settings.defaultModel = 'x'
    }).toThrow(TypeError)
    expect(() => {
      settings.hosted.openai.baseUrl = 'x'
    }).toThrow(TypeError)
  })

  test.each([
    ['OPENAI_BASE_URL', 'api.openai.com'],
    ['ANTHROPIC_BASE_URL', 'ftp://x.test'],
    ['MISTRAL_BASE_URL', 'https://user:hunter2@x.test'],
    ['OPENAI_COMPATIBLE_BASE_URL', 'https://x.test/v1?key=hunter2'],
    ['AZURE_RESOURCE_NAME', 'a.b'],
    ['AZURE_OPENAI_ENDPOINT', 'no url'],
    ['AWS_REGION', 'eu central 1'],
    ['GROQ_API_KEY', 'two words'],
    ['COHERE_API_KEY', 'hunter2\u00e9'],
    ['OLLAMA_HOST', 'localhost:99999'],
    ['DRAMATIS_DEFAULT_AI_SYSTEM', 'skynet'],
  ])('%s=%s stops the start with a sentence that names it and tells no secret', (name, value) => {
    const reading = () => readProviderSettings({ [name]: value })
    expect(reading).toThrow(new RegExp(`^${name} .*\\.$`))
    expect(reading).not.toThrow(/hunter2/)
  })

  test.each([
    [undefined, 'http://127.0.0.1:11434'],
    ['ollama.lan', 'http://ollama.lan:11434'],
    ['ollama.lan:80', 'http://ollama.lan'],
    ['10.0.0.7:8080', 'http://10.0.0.7:8080'],
    [':7000', 'http://127.0.0.1:7000'],
    ['0.0.0.0', 'http://127.0.0.1:11434'],
    ['[::1]:7000', 'http://[::1]:7000'],
    ['::1', 'http://[::1]:11434'],
    ['http://ollama.lan', 'http://ollama.lan'],
    ['http://ollama.lan:11434/', 'http://ollama.lan:11434'],
    ['https://ollama.lan/some/path', 'https://ollama.lan/some/path'],
    ['"ollama.lan"', 'http://ollama.lan:11434'],
  ])('OLLAMA_HOST=%s is %s', (value, expected) => {
    expect(readProviderSettings({ OLLAMA_HOST: value }).ollama.baseUrl).toBe(expected)
  })

  test.each([
    [{ AZURE_RESOURCE_NAME: 'mine' }, 'https://mine.openai.azure.com/openai/v1', ''],
    [{ AZURE_OPENAI_ENDPOINT: 'https://mine.openai.azure.com/' }, 'https://mine.openai.azure.com/openai/v1', ''],
    [{ AZURE_OPENAI_ENDPOINT: 'https://gw.test/openai/v1' }, 'https://gw.test/openai/v1', ''],
    [
      { AZURE_RESOURCE_NAME: 'mine', AZURE_OPENAI_API_VERSION: '2024-10-21' },
      'https://mine.openai.azure.com/openai',
      '?api-version=2024-10-21',
    ],
  ])('Azure: %j', (env, baseUrl, query) => {
    const account = readProviderSettings(env).hosted['azure-openai']
    expect(account).toMatchObject({ baseUrl, modelList: { url: `${baseUrl}/models${query}` } })
  })

  test.each([
    ['https://proxy.test', 'https://proxy.test/v1'],
    ['https://proxy.test/v1', 'https://proxy.test/v1'],
  ])('ANTHROPIC_BASE_URL=%s is %s', (value, expected) => {
    expect(readProviderSettings({ ANTHROPIC_BASE_URL: value }).hosted.anthropic.baseUrl).toBe(expected)
  })
})

describe('what is missing', () => {
  test.each([
    ['anthropic', {}, ['ANTHROPIC_API_KEY']],
    ['google', {}, ['GOOGLE_GENERATIVE_AI_API_KEY (or GEMINI_API_KEY)']],
    ['google', { GEMINI_API_KEY: 'k' }, []],
    ['azure-openai', { AZURE_OPENAI_API_KEY: 'k' }, ['AZURE_OPENAI_ENDPOINT (or AZURE_RESOURCE_NAME)']],
    ['bedrock', { AWS_REGION: 'eu-west-1', AWS_BEARER_TOKEN_BEDROCK: 'k' }, []],
    [
      'bedrock',
      { AWS_REGION: 'eu-west-1', AWS_ACCESS_KEY_ID: 'k' },
      ['AWS_SECRET_ACCESS_KEY (or AWS_BEARER_TOKEN_BEDROCK)'],
    ],
    ['ollama', {}, []],
    ['rehearsal', {}, []],
  ] as const)('%s with %j', (aiSystem, env, missing) => {
    expect(missingVariables(aiSystem, readProviderSettings(env))).toEqual(missing)
  })

  test('every variable that a system needs is one that is read', () => {
    const read = new Set<string>(PROVIDER_VARIABLES.map(({ name }) => name))
    const needed = AI_SYSTEMS.flatMap((name) => AI_SYSTEM_FACTS[name].needs.flat())
    expect(needed.filter((name) => !read.has(name))).toEqual([])
  })
})

describe('the default', () => {
  const defaultWith = (env: Record<string, string>) => configuredDefault(readProviderSettings(env))

  test('is what the operator says, also before it can be used', () => {
    expect(defaultWith({ DRAMATIS_DEFAULT_AI_SYSTEM: 'Claude', OPENAI_API_KEY: 'k' })).toEqual({
      aiSystem: 'anthropic',
      because: 'DRAMATIS_DEFAULT_AI_SYSTEM says so; it cannot be used before ANTHROPIC_API_KEY is set',
    })
  })

  test('is the first configured provider in the documented order', () => {
    expect(defaultWith({ GROQ_API_KEY: 'k', ANTHROPIC_API_KEY: 'k' })).toEqual({
      aiSystem: 'anthropic',
      because: 'ANTHROPIC_API_KEY is set',
    })
    expect(defaultWith({ GEMINI_API_KEY: 'k' })).toEqual({ aiSystem: 'google', because: 'GEMINI_API_KEY is set' })
  })

  test('is the compatible server when no hosted provider is configured', () => {
    expect(defaultWith({ OPENAI_COMPATIBLE_BASE_URL: 'http://127.0.0.1:8000/v1' })?.aiSystem).toBe('openai-compatible')
  })

  test('is not Bedrock because of access keys that are there for something else', () => {
    const keys = { AWS_REGION: 'eu-west-1', AWS_ACCESS_KEY_ID: 'k', AWS_SECRET_ACCESS_KEY: 'k' }
    expect(defaultWith(keys)).toBeNull()
    expect(defaultWith({ ...keys, AWS_BEARER_TOKEN_BEDROCK: 'k' })).toEqual({
      aiSystem: 'bedrock',
      because: 'AWS_BEARER_TOKEN_BEDROCK is set',
    })
  })

  test('is nothing that the environment knows otherwise', () => {
    expect(defaultWith({ DRAMATIS_DEFAULT_AI_SYSTEM: 'default' })).toBeNull()
  })
})
