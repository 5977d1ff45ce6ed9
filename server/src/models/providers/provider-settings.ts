import { AI_SYSTEM_FACTS, AI_SYSTEMS, type AiSystem, parseAiSystem } from '../ai-systems.ts'
import { type LocalSettings, readLocalSettings } from '../local/local-settings.ts'
import { PROVIDER_VARIABLES } from './provider-variables.ts'

/** A provider with a key and an address. */
export type KeyedProvider = Readonly<{ apiKey: string | null; baseUrl: string }>

/** What the environment says about the providers. URLs have no trailing slash, credentials or query. */
export type ProviderSettings = Readonly<{
  /** Of the variables of `provider-variables.ts`, those that are set. */
  given: ReadonlySet<string>
  /** Every value that must never be shown. */
  secrets: readonly string[]
  /** The addresses that were given, which need not be known to callers. */
  ownUrls: readonly string[]
  defaultAiSystem: AiSystem | null
  defaultModel: string | null
  openai: KeyedProvider
  azureOpenai: Readonly<{
    apiKey: string | null
    /** null when neither endpoint nor resource name is set. */
    baseUrl: string | null
    apiVersion: string
    /** True: the model is part of the path, as with every version that is a date. */
    deploymentUrls: boolean
    deployment: string | null
  }>
  anthropic: KeyedProvider
  google: KeyedProvider
  mistral: KeyedProvider
  groq: KeyedProvider
  cohere: KeyedProvider
  bedrock: Readonly<{
    region: string | null
    accessKeyId: string | null
    secretAccessKey: string | null
    sessionToken: string | null
    bearerToken: string | null
    baseUrl: string | null
    defaultModel: string
  }>
  openaiCompatible: Readonly<{ apiKey: string | null; baseUrl: string | null; model: string | null }>
  ollama: Readonly<{ baseUrl: string }>
  local: LocalSettings
}>

type Environment = Readonly<Record<string, string | undefined>>
type VariableName = (typeof PROVIDER_VARIABLES)[number]['name']

/**
 * Reads the variables of `provider-variables.ts`. White space around a value is dropped; an empty one counts as unset.
 * Models that are downloaded go below `dataDirectory`. Throws an Error that names the variable when a value cannot be
 * right.
 */
export function readProviderSettings(env: Environment, dataDirectory = './data'): ProviderSettings {
  const values = new Map<VariableName, string>()
  for (const { name, isSecret } of PROVIDER_VARIABLES) {
    const value = env[name]?.trim()
    if (value === undefined || value === '') continue
    // Whatever is not visible ASCII cannot stand in a header, and the error would come at the first call.
    if (isSecret && !/^[\x21-\x7e]+$/.test(value)) throw new Error(`${name} holds a character that no key can have.`)
    values.set(name, value)
  }
  const get = (name: VariableName): string | null => values.get(name) ?? null
  const ownUrls: string[] = []
  const url = (name: VariableName): string | null => {
    const value = values.get(name)
    if (value === undefined) return null
    const parsed = parseUrl(name, value)
    ownUrls.push(parsed)
    return parsed
  }
  const keyed = (apiKey: string | null, urlName: VariableName): KeyedProvider =>
    Object.freeze({ apiKey, baseUrl: url(urlName) ?? defaultOf(urlName) })

  return Object.freeze({
    given: new Set<string>(values.keys()),
    secrets: Object.freeze(
      PROVIDER_VARIABLES.flatMap(({ name, isSecret }) => (isSecret ? (values.get(name) ?? []) : [])),
    ),
    ownUrls,
    defaultAiSystem: readDefaultAiSystem(get('DRAMATIS_DEFAULT_AI_SYSTEM')),
    defaultModel: get('DRAMATIS_DEFAULT_MODEL'),
    openai: keyed(get('OPENAI_API_KEY'), 'OPENAI_BASE_URL'),
    azureOpenai: readAzure(get, url('AZURE_OPENAI_ENDPOINT')),
    anthropic: readAnthropic(keyed(get('ANTHROPIC_API_KEY'), 'ANTHROPIC_BASE_URL')),
    google: keyed(get('GOOGLE_GENERATIVE_AI_API_KEY') ?? get('GEMINI_API_KEY'), 'GOOGLE_GENERATIVE_AI_BASE_URL'),
    mistral: keyed(get('MISTRAL_API_KEY'), 'MISTRAL_BASE_URL'),
    groq: keyed(get('GROQ_API_KEY'), 'GROQ_BASE_URL'),
    cohere: keyed(get('COHERE_API_KEY'), 'COHERE_BASE_URL'),
    bedrock: readBedrock(get, url('AWS_ENDPOINT_URL_BEDROCK_RUNTIME')),
    openaiCompatible: Object.freeze({
      apiKey: get('OPENAI_COMPATIBLE_API_KEY'),
      baseUrl: url('OPENAI_COMPATIBLE_BASE_URL'),
      model: get('OPENAI_COMPATIBLE_MODEL'),
    }),
    ollama: Object.freeze({ baseUrl: parseOllamaHost(get('OLLAMA_HOST')) }),
    local: readLocalSettings(get, url('HF_ENDPOINT') ?? defaultOf('HF_ENDPOINT'), dataDirectory),
  })
}

/** What has to be set before `aiSystem` can be used, such as `A (or B)`; empty when nothing is missing. */
export function missingVariables(aiSystem: AiSystem, settings: ProviderSettings): string[] {
  const missing = AI_SYSTEM_FACTS[aiSystem].needs.filter((group) => !group.some((name) => settings.given.has(name)))
  return missing.map(([name, ...others]) => (others.length === 0 ? `${name}` : `${name} (or ${others.join(' or ')})`))
}

function defaultOf(name: VariableName): string {
  return PROVIDER_VARIABLES.find((variable) => variable.name === name)?.default ?? ''
}

function readDefaultAiSystem(value: string | null): AiSystem | null {
  if (value === null) return null
  const aiSystem = parseAiSystem(value)
  if (aiSystem === null) {
    const known = AI_SYSTEMS.join(', ')
    throw new Error(`DRAMATIS_DEFAULT_AI_SYSTEM is "${value}", which is no AI system. Use one of ${known}.`)
  }
  return aiSystem === 'default' ? null : aiSystem
}

function parseUrl(name: string, value: string): string {
  // The value is not quoted in any of these: a URL is a place where people put passwords.
  if (!URL.canParse(value)) throw new Error(`${name} is no URL; it begins with http:// or https://.`)
  const url = new URL(value)
  if (url.protocol !== 'http:' && url.protocol !== 'https:') throw new Error(`${name} must be an http or https URL.`)
  if (url.username !== '' || url.password !== '') throw new Error(`${name} must not hold a user or a password.`)
  if (url.search !== '' || url.hash !== '') throw new Error(`${name} must not have a query or a fragment.`)
  return url.href.replace(/\/+$/, '')
}

/** Anthropic's own tools write the address without the version, everybody else with it. */
function readAnthropic(provider: KeyedProvider): KeyedProvider {
  const baseUrl = provider.baseUrl.endsWith('/v1') ? provider.baseUrl : `${provider.baseUrl}/v1`
  return Object.freeze({ ...provider, baseUrl })
}

function readAzure(
  get: (name: VariableName) => string | null,
  endpoint: string | null,
): ProviderSettings['azureOpenai'] {
  const resource = get('AZURE_RESOURCE_NAME')
  if (resource !== null && !/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/i.test(resource)) {
    throw new Error('AZURE_RESOURCE_NAME must be a single name of letters, digits and hyphens.')
  }
  const address = endpoint ?? (resource === null ? null : `https://${resource}.openai.azure.com`)
  const apiVersion = get('AZURE_OPENAI_API_VERSION') ?? 'v1'
  const deploymentUrls = /^\d{4}-/.test(apiVersion)
  return Object.freeze({
    apiKey: get('AZURE_OPENAI_API_KEY'),
    baseUrl: address === null ? null : azureBaseUrl(address, deploymentUrls),
    apiVersion,
    deploymentUrls,
    deployment: get('AZURE_OPENAI_DEPLOYMENT'),
  })
}

/** People paste the resource's address, with or without `/openai` or `/openai/v1` behind it. */
function azureBaseUrl(address: string, deploymentUrls: boolean): string {
  const resource = address.replace(/\/openai(?:\/v1)?$/, '')
  return deploymentUrls ? `${resource}/openai` : `${resource}/openai/v1`
}

function readBedrock(get: (name: VariableName) => string | null, baseUrl: string | null): ProviderSettings['bedrock'] {
  const region = get('AWS_REGION')
  if (region !== null && !/^[a-z0-9-]{1,64}$/.test(region)) {
    throw new Error('AWS_REGION must be a region such as eu-central-1.')
  }
  // A cross-region profile is named after the geography it stays in.
  const geography = region?.startsWith('eu-') ? 'eu' : region?.startsWith('ap-') ? 'apac' : 'us'
  return Object.freeze({
    region,
    accessKeyId: get('AWS_ACCESS_KEY_ID'),
    secretAccessKey: get('AWS_SECRET_ACCESS_KEY'),
    sessionToken: get('AWS_SESSION_TOKEN'),
    bearerToken: get('AWS_BEARER_TOKEN_BEDROCK'),
    baseUrl,
    defaultModel: `${geography}.amazon.nova-lite-v1:0`,
  })
}

/**
 * `OLLAMA_HOST` as Ollama reads it (`envconfig.Host` of https://github.com/ollama/ollama): a host, a port, a URL, or
 * parts of it. The port is 11434 without a scheme, else that of the scheme.
 */
function parseOllamaHost(value: string | null): string {
  const text = (value ?? '').replace(/^["']|["']$/g, '')
  const [, scheme, rest] = /^(?:([a-z]+):\/\/)?(.*)$/is.exec(text) as RegExpExecArray
  const ipv6 = /^[0-9a-f:]*::?[0-9a-f:]+$/i.test(rest ?? '') && (rest ?? '').split(':').length > 2
  const hostAndPath = ipv6 ? `[${rest}]` : (rest ?? '')
  const withHost = hostAndPath === '' || /^[:/]/.test(hostAndPath) ? `127.0.0.1${hostAndPath}` : hostAndPath
  const href = parseUrl('OLLAMA_HOST', `${scheme ?? 'http'}://${withHost}`)
  const url = new URL(href)
  if (url.port === '' && scheme === undefined && !/:80(?:\/|$)/.test(withHost)) url.port = '11434'
  // A server listens on "all addresses"; nobody can be called there on every system.
  if (url.hostname === '0.0.0.0') url.hostname = '127.0.0.1'
  if (url.hostname === '[::]') url.hostname = '[::1]'
  return url.href.replace(/\/+$/, '')
}
