import { hostedProvider, modelListOf } from './hosted-provider.ts'
import { plain, secret } from './provider-variable.ts'

export const cohere = hostedProvider({
  name: 'cohere',
  label: 'Cohere',
  aliases: ['cohereai'],
  userFirst: true,
  defaultModel: 'command-a-03-2025',
  variables: [
    secret('COHERE_API_KEY', 'Key'),
    plain('COHERE_BASE_URL', 'Address of the API', 'https://api.cohere.com/v2'),
  ],
  needs: [['COHERE_API_KEY']],
  address: { variable: 'COHERE_BASE_URL', end: '/v2' },
  contextWindow: 32_000,
  windows: [
    ['command-a-vision', 128_000],
    ['command-a', 256_000],
    ['command-r', 128_000],
    ['command', 4_096],
    ['c4ai-aya-expanse-8b', 8_192],
    ['c4ai-aya', 128_000],
  ],
  readAccount({ get, urlOrDefault }) {
    const [apiKey, baseUrl] = [get('COHERE_API_KEY'), urlOrDefault('COHERE_BASE_URL')]
    return {
      baseUrl,
      // The second version of its API has no list.
      modelList: modelListOf(baseUrl.replace(/\/v2$/, '/v1'), apiKey),
      async load(fetch) {
        const { createCohere } = await import('@ai-sdk/cohere')
        const provider = createCohere({ apiKey: apiKey ?? '', baseURL: baseUrl, fetch })
        return (model) => provider(model)
      },
    }
  },
})
