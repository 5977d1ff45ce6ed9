import { hostedProvider, type KnownFiles } from './hosted-provider.ts'
import { plain, secret } from './provider-variable.ts'

export const CLAUDE_FILES: readonly KnownFiles[] = [
  ['claude-instant', []],
  ['claude-v2', []],
  ['claude-2', []],
  ['claude-3-opus', ['image']],
  ['claude-3-sonnet', ['image']],
  ['claude-3-haiku', ['image']],
  ['claude', ['image', 'pdf']],
]

export const anthropic = hostedProvider({
  name: 'anthropic',
  label: 'Anthropic',
  aliases: ['claude', 'anthropicclaude'],
  userFirst: true,
  defaultModel: 'claude-sonnet-4-6',
  variables: [
    secret('ANTHROPIC_API_KEY', 'Key'),
    plain('ANTHROPIC_BASE_URL', 'Address of the API', 'https://api.anthropic.com/v1'),
  ],
  needs: [['ANTHROPIC_API_KEY']],
  address: { variable: 'ANTHROPIC_BASE_URL', end: null },
  contextWindow: 200_000,
  windows: [
    ['claude-instant', 100_000],
    ['claude-2.0', 100_000],
    ['claude-v2:1', 200_000],
    ['claude-v2', 100_000],
    ['claude-opus-4-6', 1_000_000],
    ['claude-sonnet-4-6', 1_000_000],
    ['claude-opus-5-5', 1_000_000],
    ['claude', 200_000],
  ],
  files: { known: CLAUDE_FILES },
  readAccount({ get, urlOrDefault }) {
    const apiKey = get('ANTHROPIC_API_KEY') ?? ''
    const address = urlOrDefault('ANTHROPIC_BASE_URL')
    // Anthropic's own tools write the address without the version, everybody else with it.
    const baseUrl = address.endsWith('/v1') ? address : `${address}/v1`
    return {
      baseUrl,
      modelList: {
        url: `${baseUrl}/models`,
        headers: { 'x-api-key': apiKey, 'anthropic-version': '2023-06-01' },
      },
      async load(fetch) {
        const { createAnthropic } = await import('@ai-sdk/anthropic')
        const provider = createAnthropic({ apiKey, baseURL: baseUrl, fetch })
        return (model) => provider(model)
      },
    }
  },
})
