import { HOSTED_PROVIDERS, type HostedAiSystem } from './hosted-providers/providers.ts'

/** Those that need no account with somebody: what `default` stands for, and what runs on machines of one's own. */
type OwnAiSystem = 'default' | 'openai-compatible' | 'ollama' | 'local' | 'rehearsal'

export type AiSystem = HostedAiSystem | OwnAiSystem

/** Our names, in the order of the documentation. */
export const AI_SYSTEMS: readonly AiSystem[] = [
  'default',
  ...HOSTED_PROVIDERS.map(({ name }) => name),
  'openai-compatible',
  'ollama',
  'local',
  'rehearsal',
]

export type AiSystemFacts = {
  /** For people. */
  label: string
  /** True when the first message has to be the user's; a greeting then goes into the system text. */
  userFirst: boolean
  /** What `model: "default"` means; null when only the server itself can say. */
  defaultModel: string | null
  /** The variables that make it usable: one of each group has to be set. */
  needs: readonly (readonly string[])[]
  /** Tokens, for a model whose name says nothing: rather too few than a request that is refused. */
  contextWindow: number
}

const FACTS_OF_HOSTED = Object.fromEntries(
  HOSTED_PROVIDERS.map((provider): [string, AiSystemFacts] => [provider.name, provider]),
) as Record<HostedAiSystem, AiSystemFacts>

/** What differs between the systems. */
export const AI_SYSTEM_FACTS: Readonly<Record<AiSystem, AiSystemFacts>> = {
  default: { label: 'Default', userFirst: true, defaultModel: null, needs: [], contextWindow: 32_000 },
  ...FACTS_OF_HOSTED,
  'openai-compatible': {
    label: 'OpenAI-compatible server',
    userFirst: true,
    defaultModel: null,
    needs: [['OPENAI_COMPATIBLE_BASE_URL']],
    contextWindow: 32_000,
  },
  ollama: { label: 'Ollama', userFirst: true, defaultModel: null, needs: [], contextWindow: 8_192 },
  local: {
    label: 'Local model',
    userFirst: true,
    defaultModel: null,
    needs: [['DRAMATIS_LOCAL_MODELS']],
    contextWindow: 8_192,
  },
  rehearsal: {
    label: 'Rehearsal (built in, NOT a language model)',
    userFirst: true,
    defaultModel: 'rehearsal',
    needs: [],
    contextWindow: 128_000,
  },
}

/** The integers of the API that Dramatis is compatible with; there will be no more of them. */
const BY_NUMBER: readonly AiSystem[] = ['default', 'openai', 'azure-openai', 'anthropic', 'google', 'groq', 'cohere']

/** What an error says of a name that `parseAiSystem` does not know. */
export const NO_AI_SYSTEM = `is not a known AI system: use one of ${AI_SYSTEMS.join(', ')}, or a number from 0 to ${BY_NUMBER.length - 1}`

function plain(name: string): string {
  return name.toLowerCase().replaceAll(/[\s_-]/g, '')
}

const BY_PLAIN_NAME: ReadonlyMap<string, AiSystem> = new Map([
  ...AI_SYSTEMS.map((name) => [plain(name), name] as const),
  ...HOSTED_PROVIDERS.flatMap(({ name, aliases }) => aliases.map((alias) => [alias, name] as const)),
  // What the API that Dramatis is compatible with calls its own.
  ['hyperleap', 'default'],
  ['hyperleapai', 'default'],
])

/** Our name for what a caller wrote: our names in any case, the vendors' names, or the integer (also as digits); else null. */
export function parseAiSystem(value: string | number): AiSystem | null {
  if (typeof value === 'number') return BY_NUMBER[value] ?? null
  if (/^\d$/.test(value)) return BY_NUMBER[Number(value)] ?? null
  return BY_PLAIN_NAME.get(plain(value)) ?? null
}
