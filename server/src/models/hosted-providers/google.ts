import { hostedProvider } from './hosted-provider.ts'
import { plain, secret } from './provider-variable.ts'

export const google = hostedProvider({
  name: 'google',
  label: 'Google Gemini',
  aliases: ['gemini', 'googlegemini', 'googleai'],
  userFirst: true,
  defaultModel: 'gemini-3.5-flash',
  variables: [
    secret('GOOGLE_GENERATIVE_AI_API_KEY', 'Key'),
    secret('GEMINI_API_KEY', 'Key, under its other name'),
    plain('GOOGLE_GENERATIVE_AI_BASE_URL', 'Address of the API', 'https://generativelanguage.googleapis.com/v1beta'),
  ],
  needs: [['GOOGLE_GENERATIVE_AI_API_KEY', 'GEMINI_API_KEY']],
  address: { variable: 'GOOGLE_GENERATIVE_AI_BASE_URL', end: '/v1beta' },
  contextWindow: 32_000,
  windows: [
    ['gemini-1.0', 32_768],
    ['gemini-pro', 32_768],
    ['gemini', 1_048_576],
    ['gemma-3-1b', 32_768],
    ['gemma-3', 131_072],
    ['gemma2', 8_192],
  ],
  files: {
    known: [
      ['gemini-1.0', []],
      ['gemini-pro', []],
      ['gemini-embedding', []],
      ['gemini', ['image', 'pdf']],
    ],
    refused: ['image/gif'],
  },
  isModelInPath: true,
  readAccount({ get, urlOrDefault }) {
    const apiKey = get('GOOGLE_GENERATIVE_AI_API_KEY') ?? get('GEMINI_API_KEY') ?? ''
    const baseUrl = urlOrDefault('GOOGLE_GENERATIVE_AI_BASE_URL')
    return {
      baseUrl,
      modelList: { url: `${baseUrl}/models`, headers: { 'x-goog-api-key': apiKey } },
      async load(fetch) {
        const { createGoogle } = await import('@ai-sdk/google')
        const provider = createGoogle({ apiKey, baseURL: baseUrl, fetch })
        return (model) => provider(model)
      },
    }
  },
})
