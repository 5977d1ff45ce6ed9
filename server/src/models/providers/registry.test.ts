import { Agent } from 'undici'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { chatReply, type ProviderServer, startProviderServer } from '../../../../test/support/provider-server.ts'
import { readProviderSettings } from './provider-settings.ts'
import { createModelRegistry, type ModelRegistry } from './registry.ts'

let provider: ProviderServer
const dispatcher = new Agent()
/** A port where nobody listens. */
let nowhere: string

beforeAll(async () => {
  provider = await startProviderServer()
  const gone = await startProviderServer()
  nowhere = gone.url
  await gone.close()
})
afterAll(async () => {
  await dispatcher.destroy()
  await provider.close()
})
beforeEach(() => {
  provider.requests.length = 0
})

function registryWith(env: Record<string, string>, clock = Date.now): ModelRegistry {
  return createModelRegistry({ settings: readProviderSettings({ OLLAMA_HOST: nowhere, ...env }), dispatcher, clock })
}

describe('opening a model', () => {
  test.each([
    ['openai', 'openai is not configured: set OPENAI_API_KEY'],
    ['Claude', 'anthropic is not configured: set ANTHROPIC_API_KEY'],
    ['openai-compatible', 'openai-compatible is not configured: set OPENAI_COMPATIBLE_BASE_URL'],
    ['local', 'local is not configured: set DRAMATIS_LOCAL_MODELS'],
    ['skynet', '"skynet" is no AI system'],
  ])('of %s that cannot be used says why', async (aiSystem, message) => {
    const error = await registryWith({})
      .open(aiSystem, 'some-model')
      .catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ kind: 'not_configured', message, retryable: false })
  })

  test('of the compatible server takes the first that it lists', async () => {
    const registry = registryWith({ OPENAI_COMPATIBLE_BASE_URL: `${provider.url}/v1` })
    expect(await registry.open('openai-compatible', 'default')).toMatchObject({ model: 'Qwen/Qwen3-8B' })
  })

  test('of the compatible server takes the one that is configured, and asks nobody', async () => {
    const registry = registryWith({ OPENAI_COMPATIBLE_BASE_URL: `${provider.url}/v1`, OPENAI_COMPATIBLE_MODEL: 'mine' })
    expect(await registry.open('openai-compatible', 'default')).toMatchObject({ model: 'mine' })
    expect(provider.requests).toEqual([])
  })

  test('of a server that does not say what it has names the way out', async () => {
    const registry = registryWith({ OPENAI_COMPATIBLE_BASE_URL: `${nowhere}/v1` })
    await expect(registry.open('openai-compatible', 'default')).rejects.toMatchObject({
      kind: 'not_configured',
      message: 'The OpenAI-compatible server does not answer; OPENAI_COMPATIBLE_MODEL can name one',
      cause: new Error(`The server at ${nowhere}/v1 does not answer; OPENAI_COMPATIBLE_MODEL can name one`),
    })
  })

  test('of Ollama speaks to its Chat Completions endpoint', async () => {
    provider.script([chatReply(['hi'])], '/v1/chat/completions')
    const model = await registryWith({ OLLAMA_HOST: provider.url }).open('ollama', 'default')
    const signal = new AbortController().signal
    const texts: string[] = []
    await model.generate({ system: null, messages: [], settings: {}, attempt: 0, signal }, (text) => texts.push(text))
    expect(texts).toEqual(['hi'])
    expect(provider.requests.map(({ path }) => path)).toEqual(['/api/tags', '/v1/chat/completions'])
    expect(provider.requests[1]?.body).toMatchObject({ model: 'llama3.2:3b' })
  })

  test('makes it known by the names that it was asked by', async () => {
    const registry = registryWith({ OPENAI_COMPATIBLE_BASE_URL: `${provider.url}/v1` })
    expect(registry.opened('openai-compatible', 'default')).toBeUndefined()
    const opened = await registry.open('openai-compatible', 'default')
    expect(registry.opened('openai-compatible', 'default')).toBe(opened)
    expect(registry.opened('openai-compatible', 'Qwen/Qwen3-8B')).toBeUndefined()
  })

  test('twice is the same model', async () => {
    const registry = registryWith({ OPENAI_API_KEY: 'key-1' })
    expect(await registry.open('openai', 'gpt-4o')).toBe(await registry.open('OpenAi', 'gpt-4o'))
    expect(await registry.open('openai', 'gpt-4o')).not.toBe(await registry.open('openai', 'gpt-4.1'))
  })
})

test.each(['google', 'azure-openai', 'bedrock'])(
  'the name of a model of %s is no way to another path',
  async (aiSystem) => {
    const registry = registryWith({
      GOOGLE_GENERATIVE_AI_API_KEY: 'k',
      AZURE_OPENAI_API_KEY: 'k',
      AZURE_OPENAI_ENDPOINT: provider.url,
      AWS_REGION: 'eu-central-1',
      AWS_BEARER_TOKEN_BEDROCK: 'k',
    })
    for (const model of ['../../x', 'a/../b', '..', 'a?b', 'a#b', '//x/y', '/x', 'a%2e', 'a b', 'a\\b', 'x/']) {
      await expect(registry.open(aiSystem, model), model).rejects.toMatchObject({ kind: 'refused' })
    }
    for (const model of ['gemini-3-pro', 'models/gemini-3.1', 'arn:aws:bedrock:eu:1:inference-profile/eu.x-v1:0']) {
      expect((await registry.open(aiSystem, model)).model).toBe(model)
    }
  },
)

describe('the default', () => {
  test('is the rehearsal when there is nothing else, and says so', async () => {
    const found = await registryWith({}).resolveDefault()
    expect(found).toMatchObject({ aiSystem: 'rehearsal', model: 'rehearsal' })
    expect(found.whyInside).toBe(
      `Rehearsal (built in, NOT a language model), because no provider is configured, and Ollama does not answer at ${nowhere}.`,
    )
  })

  test('is Ollama when it answers, with its first model that can talk', async () => {
    expect(await registryWith({ OLLAMA_HOST: provider.url }).resolveDefault()).toEqual({
      aiSystem: 'ollama',
      model: 'llama3.2:3b',
      why: 'Ollama with llama3.2:3b, because it answers.',
      whyInside: `Ollama with llama3.2:3b, because it answers at ${provider.url}.`,
    })
  })

  test('is not Ollama when it has no model', async () => {
    provider.script([{ pieces: ['{"models":[]}'] }])
    const found = await registryWith({ OLLAMA_HOST: provider.url }).resolveDefault()
    expect(found.aiSystem).toBe('rehearsal')
    expect(found.whyInside).toContain(`Ollama has no model at ${provider.url}`)
    expect(found.why).toMatch(/Ollama has no model\.$/)
  })

  test('is not Ollama when something else answers there', async () => {
    provider.script([{ pieces: ['<html>hello</html>'] }])
    expect((await registryWith({ OLLAMA_HOST: provider.url }).resolveDefault()).aiSystem).toBe('rehearsal')
  })

  test('is a configured provider before Ollama, which is not even asked', async () => {
    const registry = registryWith({ OLLAMA_HOST: provider.url, ANTHROPIC_API_KEY: 'key-1' })
    expect(await registry.resolveDefault()).toEqual({
      aiSystem: 'anthropic',
      model: 'claude-sonnet-4-6',
      why: 'Anthropic with claude-sonnet-4-6, because ANTHROPIC_API_KEY is set.',
      whyInside: 'Anthropic with claude-sonnet-4-6, because ANTHROPIC_API_KEY is set.',
    })
    expect(provider.requests).toEqual([])
  })

  test('takes the model that the operator names', async () => {
    const found = await registryWith({
      ANTHROPIC_API_KEY: 'key-1',
      DRAMATIS_DEFAULT_MODEL: 'claude-x',
    }).resolveDefault()
    expect(found).toMatchObject({ aiSystem: 'anthropic', model: 'claude-x' })
  })

  test('asks Ollama again only after a while', async () => {
    let now = 1_000
    const registry = registryWith({ OLLAMA_HOST: provider.url }, () => now)
    await Promise.all([registry.resolveDefault(), registry.resolveDefault()])
    await registry.resolveDefault()
    expect(provider.requests).toHaveLength(1)
    now += 60_000
    await registry.resolveDefault()
    expect(provider.requests).toHaveLength(2)
  })
})

describe('resolving', () => {
  test('a model that is named with the default system is kept', async () => {
    const registry = registryWith({ ANTHROPIC_API_KEY: 'key-1' })
    expect(await registry.resolve('default', 'claude-x')).toEqual({ aiSystem: 'anthropic', model: 'claude-x' })
    expect(await registry.resolve('default', 'default')).toEqual({ aiSystem: 'anthropic', model: 'claude-sonnet-4-6' })
    expect(await registry.resolve('default', null)).toEqual({ aiSystem: 'anthropic', model: 'claude-sonnet-4-6' })
  })

  test('unless the default is the rehearsal', async () => {
    expect(await registryWith({}).resolve('default', 'claude-x')).toEqual({ aiSystem: 'rehearsal', model: 'rehearsal' })
  })

  test('a system that is named stays, configured or not', async () => {
    const registry = registryWith({
      ANTHROPIC_API_KEY: 'key-1',
      AWS_REGION: 'eu-west-1',
      AZURE_OPENAI_DEPLOYMENT: 'prod',
    })
    expect(await registry.resolve('openai', 'default')).toEqual({ aiSystem: 'openai', model: 'gpt-4.1-mini' })
    expect(await registry.resolve('bedrock', null)).toEqual({ aiSystem: 'bedrock', model: 'eu.amazon.nova-lite-v1:0' })
    expect(await registry.resolve('azure-openai', '')).toEqual({ aiSystem: 'azure-openai', model: 'prod' })
    expect(await registry.resolve('ollama', 'default')).toEqual({ aiSystem: 'ollama', model: 'default' })
  })
})

describe('the list', () => {
  test('has every system, and says of each whether it can be used and why not', async () => {
    const list = await registryWith({
      ANTHROPIC_API_KEY: 'key-1',
      OPENAI_COMPATIBLE_BASE_URL: `${provider.url}/v1`,
    }).list()
    const bySystem = Object.fromEntries(list.map((entry) => [entry.aiSystem, entry]))
    expect(Object.keys(bySystem)).toHaveLength(12)
    expect(bySystem.anthropic).toMatchObject({ isUsable: true, why: null, models: ['claude-sonnet-4-6'] })
    expect(bySystem.openai).toMatchObject({ isUsable: false, why: 'OpenAI needs OPENAI_API_KEY.' })
    expect(bySystem['openai-compatible']).toMatchObject({
      isUsable: true,
      defaultModel: 'Qwen/Qwen3-8B',
      models: ['Qwen/Qwen3-8B', 'adapter'],
    })
    expect(bySystem.ollama).toMatchObject({
      isUsable: false,
      models: [],
      why: 'Ollama does not answer.',
      whyInside: `Ollama does not answer at ${nowhere}.`,
    })
    expect(bySystem.local).toMatchObject({
      isUsable: false,
      why: expect.stringMatching(/^Local model needs DRAMATIS_LOCAL_MODELS\./),
    })
    expect(bySystem.rehearsal).toMatchObject({ isUsable: true, models: ['rehearsal'] })
    expect(bySystem.rehearsal?.label).toContain('NOT a language model')
  })

  test('does not wait for a server that never answers', async () => {
    provider.script([{ isSilent: true }], '/v1/models')
    const list = await registryWith({ OPENAI_COMPATIBLE_BASE_URL: `${provider.url}/v1` }).list()
    expect(list.find(({ aiSystem }) => aiSystem === 'openai-compatible')).toMatchObject({ isUsable: false })
  })

  test('takes a server that lists nothing when its model is configured', async () => {
    const env = { OPENAI_COMPATIBLE_BASE_URL: `${nowhere}/v1`, OPENAI_COMPATIBLE_MODEL: 'mine' }
    const list = await registryWith(env).list()
    expect(list.find(({ aiSystem }) => aiSystem === 'openai-compatible')).toMatchObject({
      isUsable: true,
      models: ['mine'],
    })
  })
})

test('closing ends the connections of its own', async () => {
  const env = {
    OPENAI_COMPATIBLE_BASE_URL: `${provider.url}/v1`,
    OPENAI_COMPATIBLE_MODEL: 'mine',
    OLLAMA_HOST: nowhere,
  }
  const registry = createModelRegistry({ settings: readProviderSettings(env), clock: Date.now })
  provider.script([chatReply(['a'], { finishReason: null, ending: 'hang' })])
  const model = await registry.open('openai-compatible', 'default')
  const first = Promise.withResolvers<string>()
  const signal = new AbortController().signal
  const asked = model.generate({ system: null, messages: [], settings: {}, attempt: 0, signal }, first.resolve)
  asked.catch(() => {})
  await first.promise
  await registry.close()
  await expect(asked).rejects.toMatchObject({ kind: 'failed' })
  expect(await provider.requests[0]?.closedByClient).toBe(true)
})
