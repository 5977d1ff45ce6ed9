import { CLAUDE_FILES } from './anthropic.ts'
import { hostedProvider } from './hosted-provider.ts'
import { plain, secret } from './provider-variable.ts'

export const bedrock = hostedProvider({
  name: 'bedrock',
  label: 'Amazon Bedrock',
  aliases: ['amazonbedrock', 'awsbedrock'],
  userFirst: true,
  // Outside the United States it begins with the name of another geography, see below.
  defaultModel: 'us.amazon.nova-lite-v1:0',
  variables: [
    plain('AWS_REGION', 'Region, such as eu-central-1'),
    secret('AWS_ACCESS_KEY_ID', 'Access key, with its secret key'),
    secret('AWS_SECRET_ACCESS_KEY', 'Secret key that belongs to the access key'),
    secret('AWS_SESSION_TOKEN', 'Session token, if the keys are temporary'),
    secret('AWS_BEARER_TOKEN_BEDROCK', 'A Bedrock API key, instead of access key and secret key'),
    plain('AWS_ENDPOINT_URL_BEDROCK_RUNTIME', 'Address of the API', 'that of the region'),
  ],
  needs: [
    ['AWS_REGION'],
    ['AWS_ACCESS_KEY_ID', 'AWS_BEARER_TOKEN_BEDROCK'],
    ['AWS_SECRET_ACCESS_KEY', 'AWS_BEARER_TOKEN_BEDROCK'],
  ],
  // Access keys are often there for something else.
  chosenBy: ['AWS_BEARER_TOKEN_BEDROCK'],
  isLastChoice: true,
  address: { variable: 'AWS_ENDPOINT_URL_BEDROCK_RUNTIME', end: null },
  contextWindow: 32_000,
  windows: [
    ['llama3-1', 128_000],
    ['llama3-2', 128_000],
    ['llama3-3', 128_000],
    ['llama3', 8_192],
    ['nova-micro', 128_000],
    ['nova-lite', 300_000],
    ['nova-pro', 300_000],
    ['nova-premier', 1_000_000],
  ],
  // The geography and the vendor: `us.anthropic.claude-…`.
  nameOfVendor: (model) => model.replace(/^(?:[a-z-]+\.)+/, ''),
  files: {
    known: CLAUDE_FILES,
    nameOfVendor: (model) => model.replace(/^.*?(?=anthropic\.)anthropic\./, ''),
  },
  isModelInPath: true,
  readAccount({ get, url }) {
    const baseUrl = url('AWS_ENDPOINT_URL_BEDROCK_RUNTIME')
    const region = get('AWS_REGION')
    if (region !== null && !/^[a-z0-9-]{1,64}$/.test(region)) {
      throw new Error('AWS_REGION must be a region such as eu-central-1.')
    }
    // A cross-region profile is named after the geography it stays in.
    const geography = region?.startsWith('eu-') ? 'eu' : region?.startsWith('ap-') ? 'apac' : 'us'
    const credentials = credentialsFrom(get)
    return {
      baseUrl,
      defaultModel: `${geography}.amazon.nova-lite-v1:0`,
      modelList: null,
      async load(fetch) {
        const { createAmazonBedrock } = await import('@ai-sdk/amazon-bedrock')
        const provider = createAmazonBedrock({
          region: region ?? '',
          ...credentials,
          ...(baseUrl === null ? {} : { baseURL: baseUrl }),
          fetch,
        })
        return (model) => provider(model)
      },
    }
  },
})

type Key = 'AWS_ACCESS_KEY_ID' | 'AWS_SECRET_ACCESS_KEY' | 'AWS_SESSION_TOKEN' | 'AWS_BEARER_TOKEN_BEDROCK'

function credentialsFrom(get: (name: Key) => string | null) {
  const apiKey = get('AWS_BEARER_TOKEN_BEDROCK')
  if (apiKey !== null) return { apiKey }
  const [accessKeyId, secretAccessKey] = [get('AWS_ACCESS_KEY_ID') ?? '', get('AWS_SECRET_ACCESS_KEY') ?? '']
  const sessionToken = get('AWS_SESSION_TOKEN')
  return { accessKeyId, secretAccessKey, ...(sessionToken === null ? {} : { sessionToken }) }
}
