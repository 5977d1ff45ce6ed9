import type { LanguageModelV4 } from '@ai-sdk/provider'
import type { Dispatcher } from 'undici'
import { createBoundedFetch } from '../../net/bounded-fetch.ts'
import type { HostedAiSystem } from '../ai-systems.ts'
import { isWebPage } from '../errors/wrong-address.ts'
import type { ProviderSettings } from './provider-settings.ts'

type Fetch = typeof globalThis.fetch
type OpenModel = (model: string) => LanguageModelV4
type LoadProvider = (settings: ProviderSettings, fetch: Fetch) => Promise<OpenModel>

/** A `fetch` whose connections are the dispatcher's. */
export function fetchThrough(dispatcher: Dispatcher): Fetch {
  let bounded: Promise<Fetch> | undefined
  return async (input, init) => {
    // A redirect is not followed: it could lead to the inside, and takes the key along.
    bounded ??= createBoundedFetch({ dispatcher, mostBytes: MOST_OF_REPLY, mostOfError: MOST_OF_ERROR })
    return withoutPages(await (await bounded)(input, init))
  }
}

/** A web page with the status of a success, which the packages would read as a stream without events. */
export class WebPageError extends Error {
  readonly status: number

  constructor(status: number) {
    super(`a web page (${status})`)
    this.name = 'WebPageError'
    this.status = status
  }
}

/** What providers stream. Of anything else the beginning is looked at. */
const STREAMED = /^(?:text\/event-stream|application\/(?:json|vnd\.amazon\.eventstream))\b/i

async function withoutPages(answer: Response): Promise<Response> {
  const { status, headers, body } = answer
  if (!answer.ok || body === null || STREAMED.test(headers.get('content-type') ?? '')) return answer
  const reader = body.getReader()
  const first = await reader.read()
  if (first.value !== undefined && isWebPage(new TextDecoder().decode(first.value))) {
    reader.cancel().catch(() => {})
    throw new WebPageError(status)
  }
  const rest = new ReadableStream<Uint8Array>({
    start(controller) {
      if (first.value !== undefined) controller.enqueue(first.value)
    },
    async pull(controller) {
      const { done, value } = await reader.read()
      if (done) controller.close()
      else controller.enqueue(value)
    },
    cancel: (reason) => reader.cancel(reason),
  })
  return new Response(rest, { status, headers })
}

/** Bytes of an answer that are read, unpacked, and of one that is an error. */
const MOST_OF_REPLY = 32 * 1_024 * 1_024
const MOST_OF_ERROR = 256 * 1_024

/**
 * How to reach each hosted provider. The packages are loaded when they are first used: each takes some 50 ms and 20 MB.
 * Every setting that a package would otherwise look up in the environment is given, so that `config.ts` stays the only
 * reader. Call one only when nothing is missing (`missingVariables`).
 */
export const HOSTED_PROVIDERS: Readonly<Record<HostedAiSystem, LoadProvider>> = {
  openai: async ({ openai }, fetch) => {
    const { createOpenAI } = await import('@ai-sdk/openai')
    const provider = createOpenAI({ apiKey: openai.apiKey ?? '', baseURL: openai.baseUrl, fetch })
    return (model) => provider.chat(model)
  },

  'azure-openai': async ({ azureOpenai }, fetch) => {
    const { createAzure } = await import('@ai-sdk/azure')
    const provider = createAzure({
      apiKey: azureOpenai.apiKey ?? '',
      baseURL: azureOpenai.baseUrl ?? '',
      apiVersion: azureOpenai.apiVersion,
      useDeploymentBasedUrls: azureOpenai.deploymentUrls,
      fetch,
    })
    return (model) => provider.chat(model)
  },

  anthropic: async ({ anthropic }, fetch) => {
    const { createAnthropic } = await import('@ai-sdk/anthropic')
    const provider = createAnthropic({ apiKey: anthropic.apiKey ?? '', baseURL: anthropic.baseUrl, fetch })
    return (model) => provider(model)
  },

  google: async ({ google }, fetch) => {
    const { createGoogle } = await import('@ai-sdk/google')
    const provider = createGoogle({ apiKey: google.apiKey ?? '', baseURL: google.baseUrl, fetch })
    return (model) => provider(model)
  },

  mistral: async ({ mistral }, fetch) => {
    const { createMistral } = await import('@ai-sdk/mistral')
    const provider = createMistral({ apiKey: mistral.apiKey ?? '', baseURL: mistral.baseUrl, fetch })
    return (model) => provider(model)
  },

  groq: async ({ groq }, fetch) => {
    const { createGroq } = await import('@ai-sdk/groq')
    const provider = createGroq({ apiKey: groq.apiKey ?? '', baseURL: groq.baseUrl, fetch })
    return (model) => provider(model)
  },

  cohere: async ({ cohere }, fetch) => {
    const { createCohere } = await import('@ai-sdk/cohere')
    const provider = createCohere({ apiKey: cohere.apiKey ?? '', baseURL: cohere.baseUrl, fetch })
    return (model) => provider(model)
  },

  bedrock: async ({ bedrock }, fetch) => {
    const { createAmazonBedrock } = await import('@ai-sdk/amazon-bedrock')
    const credentials =
      bedrock.bearerToken === null
        ? {
            accessKeyId: bedrock.accessKeyId ?? '',
            secretAccessKey: bedrock.secretAccessKey ?? '',
            ...(bedrock.sessionToken === null ? {} : { sessionToken: bedrock.sessionToken }),
          }
        : { apiKey: bedrock.bearerToken }
    const provider = createAmazonBedrock({
      region: bedrock.region ?? '',
      ...credentials,
      ...(bedrock.baseUrl === null ? {} : { baseURL: bedrock.baseUrl }),
      fetch,
    })
    return (model) => provider(model)
  },
}
