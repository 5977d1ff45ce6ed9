/** Our names, in the order of the documentation. */
export const AI_SYSTEMS = [
  'default',
  'openai',
  'azure-openai',
  'anthropic',
  'google',
  'mistral',
  'groq',
  'cohere',
  'bedrock',
  'openai-compatible',
  'ollama',
  'local',
  'rehearsal',
] as const

export type AiSystem = (typeof AI_SYSTEMS)[number]

/** Those that an AI SDK package talks to; each needs an account. */
export type HostedAiSystem = Exclude<AiSystem, 'default' | 'openai-compatible' | 'ollama' | 'local' | 'rehearsal'>

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

/** What differs between the systems. The default models take sampling settings, which the newest reasoning models refuse. */
export const AI_SYSTEM_FACTS: Readonly<Record<AiSystem, AiSystemFacts>> = {
  default: { label: 'Default', userFirst: true, defaultModel: null, needs: [], contextWindow: 32_000 },
  openai: {
    label: 'OpenAI',
    userFirst: false,
    defaultModel: 'gpt-4.1-mini',
    needs: [['OPENAI_API_KEY']],
    contextWindow: 128_000,
  },
  'azure-openai': {
    label: 'Azure OpenAI',
    userFirst: false,
    // On Azure it is the name of a deployment; this one is what the portal suggests for the model.
    defaultModel: 'gpt-4.1-mini',
    needs: [['AZURE_OPENAI_API_KEY'], ['AZURE_OPENAI_ENDPOINT', 'AZURE_RESOURCE_NAME']],
    contextWindow: 32_000,
  },
  anthropic: {
    label: 'Anthropic',
    userFirst: true,
    defaultModel: 'claude-sonnet-4-6',
    needs: [['ANTHROPIC_API_KEY']],
    contextWindow: 200_000,
  },
  google: {
    label: 'Google Gemini',
    userFirst: true,
    defaultModel: 'gemini-3.5-flash',
    needs: [['GOOGLE_GENERATIVE_AI_API_KEY', 'GEMINI_API_KEY']],
    contextWindow: 32_000,
  },
  mistral: {
    label: 'Mistral',
    userFirst: true,
    defaultModel: 'mistral-medium-latest',
    needs: [['MISTRAL_API_KEY']],
    contextWindow: 32_000,
  },
  groq: {
    label: 'Groq',
    userFirst: true,
    defaultModel: 'llama-3.3-70b-versatile',
    needs: [['GROQ_API_KEY']],
    contextWindow: 32_000,
  },
  cohere: {
    label: 'Cohere',
    userFirst: true,
    defaultModel: 'command-a-03-2025',
    needs: [['COHERE_API_KEY']],
    contextWindow: 32_000,
  },
  bedrock: {
    label: 'Amazon Bedrock',
    userFirst: true,
    // Outside the United States it begins with the name of another geography, see `provider-settings.ts`.
    defaultModel: 'us.amazon.nova-lite-v1:0',
    needs: [
      ['AWS_REGION'],
      ['AWS_ACCESS_KEY_ID', 'AWS_BEARER_TOKEN_BEDROCK'],
      ['AWS_SECRET_ACCESS_KEY', 'AWS_BEARER_TOKEN_BEDROCK'],
    ],
    contextWindow: 32_000,
  },
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

/** The integers of the API that Dramatis is compatible with. */
const BY_NUMBER: readonly AiSystem[] = ['default', 'openai', 'azure-openai', 'anthropic', 'google', 'groq', 'cohere']

/** Spellings other than our own, in lower case and without spaces, hyphens and underscores. */
const ALIASES: Readonly<Record<string, AiSystem>> = {
  hyperleap: 'default',
  hyperleapai: 'default',
  azure: 'azure-openai',
  claude: 'anthropic',
  anthropicclaude: 'anthropic',
  gemini: 'google',
  googlegemini: 'google',
  googleai: 'google',
  mistralai: 'mistral',
  groqcloud: 'groq',
  cohereai: 'cohere',
  amazonbedrock: 'bedrock',
  awsbedrock: 'bedrock',
}

/** What an error says of a name that `parseAiSystem` does not know. */
export const NO_AI_SYSTEM = `is not a known AI system: use one of ${AI_SYSTEMS.join(', ')}, or a number from 0 to ${BY_NUMBER.length - 1}`

function plain(name: string): string {
  return name.toLowerCase().replaceAll(/[\s_-]/g, '')
}

const BY_PLAIN_NAME: ReadonlyMap<string, AiSystem> = new Map([
  ...AI_SYSTEMS.map((name) => [plain(name), name] as const),
  ...Object.entries(ALIASES),
])

/** Our name for what a caller wrote: our names in any case, the vendors' names, or the integer (also as digits); else null. */
export function parseAiSystem(value: string | number): AiSystem | null {
  if (typeof value === 'number') return BY_NUMBER[value] ?? null
  if (/^\d$/.test(value)) return BY_NUMBER[Number(value)] ?? null
  return BY_PLAIN_NAME.get(plain(value)) ?? null
}
