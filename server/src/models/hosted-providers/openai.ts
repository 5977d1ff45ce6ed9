import { hostedProvider, type KnownFiles, modelListOf } from './hosted-provider.ts'
import { plain, secret } from './provider-variable.ts'

export const GPT_FILES: readonly KnownFiles[] = [
  ['gpt-4o-audio', []],
  ['gpt-4o-mini-audio', []],
  ['gpt-4o', ['image', 'pdf']],
  ['chatgpt-4o', ['image']],
  ['gpt-4.1', ['image', 'pdf']],
  ['gpt-4-turbo', ['image']],
  ['gpt-4', []],
  ['gpt-5', ['image', 'pdf']],
  ['gpt-3', []],
  ['gpt-oss', []],
  ['o1-mini', []],
  ['o1-preview', []],
  ['o1', ['image', 'pdf']],
  ['o3-mini', []],
  ['o3', ['image', 'pdf']],
  ['o4-mini', ['image', 'pdf']],
]

export const openai = hostedProvider({
  name: 'openai',
  label: 'OpenAI',
  aliases: [],
  userFirst: false,
  defaultModel: 'gpt-4.1-mini',
  variables: [
    secret('OPENAI_API_KEY', 'Key'),
    plain('OPENAI_BASE_URL', 'Address of the API', 'https://api.openai.com/v1'),
  ],
  needs: [['OPENAI_API_KEY']],
  address: { variable: 'OPENAI_BASE_URL', end: '/v1' },
  contextWindow: 128_000,
  windows: [
    ['gpt-3.5-turbo-instruct', 4_096],
    ['gpt-3.5-turbo', 16_385],
    ['gpt-35-turbo', 16_385],
    ['gpt-4.1', 1_047_576],
    ['gpt-4.5', 128_000],
    ['gpt-4o', 128_000],
    ['chatgpt-4o', 128_000],
    ['gpt-4-turbo', 128_000],
    ['gpt-4-1106', 128_000],
    ['gpt-4-0125', 128_000],
    ['gpt-4-vision', 128_000],
    ['gpt-4-32k', 32_768],
    ['gpt-4', 8_192],
    ['gpt-5-chat', 128_000],
    ['gpt-5.1-chat', 128_000],
    ['gpt-5.2-chat', 128_000],
    // 400,000 in all, of which this much may be the prompt; some of the later ones take more, for another price.
    ['gpt-5', 272_000],
    ['gpt-oss', 131_072],
    ['o1-mini', 128_000],
    ['o1-preview', 128_000],
    ['o1', 200_000],
    ['o3', 200_000],
    ['o4-mini', 200_000],
    ['codex-mini', 200_000],
  ],
  files: { known: GPT_FILES },
  readAccount({ get, urlOrDefault }) {
    const [apiKey, baseUrl] = [get('OPENAI_API_KEY'), urlOrDefault('OPENAI_BASE_URL')]
    return {
      baseUrl,
      modelList: modelListOf(baseUrl, apiKey),
      async load(fetch) {
        const { createOpenAI } = await import('@ai-sdk/openai')
        const provider = createOpenAI({ apiKey: apiKey ?? '', baseURL: baseUrl, fetch })
        return (model) => provider.chat(model)
      },
    }
  },
})
