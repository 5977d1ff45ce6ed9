import { type HostedAccount, hostedProvider, type KnownFiles } from './hosted-provider.ts'
import { GPT_FILES } from './openai.ts'
import { plain, secret } from './provider-variable.ts'

export const azureOpenai = hostedProvider({
  name: 'azure-openai',
  label: 'Azure OpenAI',
  aliases: ['azure'],
  userFirst: false,
  // On Azure it is the name of a deployment; this one is what the portal suggests for the model.
  defaultModel: 'gpt-4.1-mini',
  variables: [
    secret('AZURE_OPENAI_API_KEY', 'Key'),
    plain('AZURE_OPENAI_ENDPOINT', 'Address of the resource, such as https://name.openai.azure.com'),
    plain('AZURE_RESOURCE_NAME', 'Name of the resource, instead of its address'),
    plain(
      'AZURE_OPENAI_API_VERSION',
      'A version such as 2024-10-21 asks through the URL of the deployment, v1 through the newer API',
      'v1',
    ),
    plain('AZURE_OPENAI_DEPLOYMENT', 'The deployment used when no model is named', 'gpt-4.1-mini'),
  ],
  needs: [['AZURE_OPENAI_API_KEY'], ['AZURE_OPENAI_ENDPOINT', 'AZURE_RESOURCE_NAME']],
  isLastChoice: true,
  address: { variable: 'AZURE_OPENAI_ENDPOINT', end: null },
  contextWindow: 32_000,
  windows: [],
  // Its Chat Completions take images; PDF files are only promised for its other API.
  files: { known: GPT_FILES.map(([name, kinds]): KnownFiles => [name, kinds.filter((kind) => kind === 'image')]) },
  isModelInPath: true,
  readAccount({ get, url }): HostedAccount {
    const baseUrl = addressOf(url('AZURE_OPENAI_ENDPOINT'), get('AZURE_RESOURCE_NAME'))
    const apiVersion = get('AZURE_OPENAI_API_VERSION') ?? 'v1'
    // The model is part of the path with every version that is a date.
    const useDeploymentBasedUrls = /^\d{4}-/.test(apiVersion)
    const apiKey = get('AZURE_OPENAI_API_KEY') ?? ''
    const deployment = get('AZURE_OPENAI_DEPLOYMENT')
    const baseURL = baseUrl === null ? null : `${baseUrl}/openai${useDeploymentBasedUrls ? '' : '/v1'}`
    const query = useDeploymentBasedUrls ? `?api-version=${encodeURIComponent(apiVersion)}` : ''
    return {
      baseUrl: baseURL,
      ...(deployment !== null && { defaultModel: deployment }),
      modelList: { url: `${baseURL}/models${query}`, headers: { 'api-key': apiKey } },
      async load(fetch) {
        const { createAzure } = await import('@ai-sdk/azure')
        const provider = createAzure({ apiKey, baseURL: baseURL ?? '', apiVersion, useDeploymentBasedUrls, fetch })
        return (model) => provider.chat(model)
      },
    }
  },
})

function addressOf(endpoint: string | null, resource: string | null): string | null {
  if (resource !== null && !/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/i.test(resource)) {
    throw new Error('AZURE_RESOURCE_NAME must be a single name of letters, digits and hyphens.')
  }
  // People paste the resource's address, with or without `/openai` or `/openai/v1` behind it.
  if (endpoint !== null) return endpoint.replace(/\/openai(?:\/v1)?$/, '')
  return resource === null ? null : `https://${resource}.openai.azure.com`
}
