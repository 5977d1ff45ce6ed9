import { hostedProvider, modelListOf } from './hosted-provider.ts'
import { plain, secret } from './provider-variable.ts'

export const mistral = hostedProvider({
  name: 'mistral',
  label: 'Mistral',
  aliases: ['mistralai'],
  userFirst: true,
  defaultModel: 'mistral-medium-latest',
  variables: [
    secret('MISTRAL_API_KEY', 'Key'),
    plain('MISTRAL_BASE_URL', 'Address of the API', 'https://api.mistral.ai/v1'),
  ],
  needs: [['MISTRAL_API_KEY']],
  address: { variable: 'MISTRAL_BASE_URL', end: '/v1' },
  contextWindow: 32_000,
  windows: [
    ['mistral-large', 128_000],
    ['mistral-medium', 128_000],
    ['mistral-small-latest', 128_000],
    ['magistral', 128_000],
    ['ministral', 128_000],
    ['devstral', 128_000],
    ['codestral', 256_000],
    ['pixtral', 128_000],
    ['open-mistral-nemo', 128_000],
  ],
  toolCallIds: { taken: /^[a-zA-Z0-9]{9}$/, fromHash: (hash) => hash.slice(0, 9) },
  readAccount({ get, urlOrDefault }) {
    const [apiKey, baseUrl] = [get('MISTRAL_API_KEY'), urlOrDefault('MISTRAL_BASE_URL')]
    return {
      baseUrl,
      modelList: modelListOf(baseUrl, apiKey),
      async load(fetch) {
        const { createMistral } = await import('@ai-sdk/mistral')
        const provider = createMistral({ apiKey: apiKey ?? '', baseURL: baseUrl, fetch })
        return (model) => provider(model)
      },
    }
  },
})
