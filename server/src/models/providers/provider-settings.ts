import { AI_SYSTEM_FACTS, AI_SYSTEMS, type AiSystem, parseAiSystem } from '../ai-systems.ts'
import type { HostedAccount } from '../hosted-providers/hosted-provider.ts'
import type { VariableReader } from '../hosted-providers/provider-variable.ts'
import { HOSTED_PROVIDERS, type HostedAiSystem } from '../hosted-providers/providers.ts'
import { type LocalSettings, readLocalSettings } from '../local/local-settings.ts'
import { PROVIDER_VARIABLES, type VariableName } from './provider-variables.ts'

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
  hosted: Readonly<Record<HostedAiSystem, HostedAccount>>
  openaiCompatible: Readonly<{ apiKey: string | null; baseUrl: string | null; model: string | null }>
  ollama: Readonly<{ baseUrl: string }>
  local: LocalSettings
}>

type Environment = Readonly<Record<string, string | undefined>>

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
  const urlOrDefault = (name: VariableName): string => url(name) ?? defaultOf(name)

  return Object.freeze({
    given: new Set<string>(values.keys()),
    secrets: Object.freeze(
      PROVIDER_VARIABLES.flatMap(({ name, isSecret }) => (isSecret ? (values.get(name) ?? []) : [])),
    ),
    ownUrls,
    defaultAiSystem: readDefaultAiSystem(get('DRAMATIS_DEFAULT_AI_SYSTEM')),
    defaultModel: get('DRAMATIS_DEFAULT_MODEL'),
    hosted: readAccounts({ get, url, urlOrDefault }),
    openaiCompatible: Object.freeze({
      apiKey: get('OPENAI_COMPATIBLE_API_KEY'),
      baseUrl: url('OPENAI_COMPATIBLE_BASE_URL'),
      model: get('OPENAI_COMPATIBLE_MODEL'),
    }),
    ollama: Object.freeze({ baseUrl: parseOllamaHost(get('OLLAMA_HOST')) }),
    local: readLocalSettings(get, urlOrDefault('HF_ENDPOINT'), dataDirectory),
  })
}

/** What has to be set before `aiSystem` can be used, such as `A (or B)`; empty when nothing is missing. */
export function missingVariables(aiSystem: AiSystem, settings: ProviderSettings): string[] {
  const missing = AI_SYSTEM_FACTS[aiSystem].needs.filter((group) => !group.some((name) => settings.given.has(name)))
  return missing.map(([name, ...others]) => (others.length === 0 ? `${name}` : `${name} (or ${others.join(' or ')})`))
}

function readAccounts(variables: VariableReader<VariableName>): ProviderSettings['hosted'] {
  const accounts = HOSTED_PROVIDERS.map(({ name, readAccount }) => [name, Object.freeze(readAccount(variables))])
  return Object.freeze(Object.fromEntries(accounts) as Record<HostedAiSystem, HostedAccount>)
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
