import { hostedProvider, modelListOf } from './hosted-provider.ts'
import { plain, secret } from './provider-variable.ts'

export const groq = hostedProvider({
  name: 'groq',
  label: 'Groq',
  aliases: ['groqcloud'],
  userFirst: true,
  defaultModel: 'llama-3.3-70b-versatile',
  variables: [
    secret('GROQ_API_KEY', 'Key'),
    plain('GROQ_BASE_URL', 'Address of the API', 'https://api.groq.com/openai/v1'),
  ],
  needs: [['GROQ_API_KEY']],
  address: { variable: 'GROQ_BASE_URL', end: '/openai/v1' },
  contextWindow: 32_000,
  windows: [
    ['llama-3.3-70b-versatile', 131_072],
    ['llama-3.1-8b-instant', 131_072],
    ['llama-4', 131_072],
    ['llama3-70b-8192', 8_192],
    ['llama3-8b-8192', 8_192],
    ['kimi-k2', 131_072],
    ['qwen3-32b', 131_072],
  ],
  readAccount({ get, urlOrDefault }) {
    const [apiKey, baseUrl] = [get('GROQ_API_KEY'), urlOrDefault('GROQ_BASE_URL')]
    return {
      baseUrl,
      modelList: modelListOf(baseUrl, apiKey),
      async load(fetch) {
        const { createGroq } = await import('@ai-sdk/groq')
        const provider = createGroq({ apiKey: apiKey ?? '', baseURL: baseUrl, fetch })
        return (model) => provider(model)
      },
    }
  },
})
