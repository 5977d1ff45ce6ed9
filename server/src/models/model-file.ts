import { type AiSystem, parseAiSystem } from './ai-systems.ts'

/** What kind of file a provider takes as a part of a message. Text is put into the text, which all take. */
export const FILE_KINDS = ['image', 'pdf'] as const
export type FileKind = (typeof FILE_KINDS)[number]

/** A file that stands with a user's message. */
export type ModelFile = {
  id: string
  name: string
  /** `image/png`, `application/pdf`, without parameters. */
  mediaType: string
  /** About how many it takes in a prompt. */
  tokens: number
  /** Absent as long as they have not been read. */
  bytes?: Uint8Array
}

/** The kind of a file that is no text; null for one that is. */
export function kindOfFile(mediaType: string): FileKind | null {
  if (mediaType.startsWith('image/')) return 'image'
  return mediaType === 'application/pdf' ? 'pdf' : null
}

/** By the beginning of a model's name, the longer beginning before the shorter; only what the vendors document. */
type Known = readonly [beginning: string, kinds: readonly FileKind[]]

const NONE: readonly FileKind[] = []
const IMAGES: readonly FileKind[] = ['image']
const ALL: readonly FileKind[] = ['image', 'pdf']

const GPT: readonly Known[] = [
  ['gpt-4o-audio', NONE],
  ['gpt-4o-mini-audio', NONE],
  ['gpt-4o', ALL],
  ['chatgpt-4o', IMAGES],
  ['gpt-4.1', ALL],
  ['gpt-4-turbo', IMAGES],
  ['gpt-4', NONE],
  ['gpt-5', ALL],
  ['gpt-3', NONE],
  ['gpt-oss', NONE],
  ['o1-mini', NONE],
  ['o1-preview', NONE],
  ['o1', ALL],
  ['o3-mini', NONE],
  ['o3', ALL],
  ['o4-mini', ALL],
]

const CLAUDE: readonly Known[] = [
  ['claude-instant', NONE],
  ['claude-v2', NONE],
  ['claude-2', NONE],
  ['claude-3-opus', IMAGES],
  ['claude-3-sonnet', IMAGES],
  ['claude-3-haiku', IMAGES],
  ['claude', ALL],
]

const KNOWN: Partial<Record<AiSystem, readonly Known[]>> = {
  openai: GPT,
  // Its Chat Completions take images; PDF files are only promised for its other API.
  'azure-openai': GPT.map(([name, kinds]): Known => [name, kinds.filter((kind) => kind === 'image')]),
  anthropic: CLAUDE,
  google: [
    ['gemini-1.0', NONE],
    ['gemini-pro', NONE],
    ['gemini-embedding', NONE],
    ['gemini', ALL],
  ],
  // Behind the geography and the vendor: `us.anthropic.claude-…`.
  bedrock: CLAUDE,
  // Takes what there is, so that everything around it can be tried out.
  rehearsal: [['', ALL]],
}

/** What is no image for a system although it is one. */
const NOT_TAKEN: Partial<Record<AiSystem, readonly string[]>> = { google: ['image/gif'] }

/**
 * Whether a model takes such a file as a part of a message. `stated` is what the configuration says of models whose name
 * says nothing; without that, such a model takes none.
 */
export function takesFile(
  model: { aiSystem: string; model: string },
  mediaType: string,
  stated: readonly FileKind[] = NONE,
): boolean {
  const kind = kindOfFile(mediaType)
  if (kind === null) return true
  const aiSystem = parseAiSystem(model.aiSystem) ?? 'default'
  if (NOT_TAKEN[aiSystem]?.includes(mediaType)) return false
  const name = model.model.toLowerCase()
  const bare = aiSystem === 'bedrock' ? name.replace(/^.*?(?=anthropic\.)anthropic\./, '') : name
  const known = KNOWN[aiSystem]?.find(([beginning]) => bare.startsWith(beginning))
  return (known?.[1] ?? stated).includes(kind)
}

/** The most that an image costs: with Claude at full resolution, and with Gemini in many tiles, about this much. */
const MOST_IMAGE_TOKENS = 4_800
/** Eight tiles of 5,667 tokens and 2,833 besides, as OpenAI's page on images says of this model. */
const MOST_OF_GPT_4O_MINI = 48_200

/** The most tokens that a provider should count for a file; what is said of it is about the usual case. */
export function mostTokensOf(file: ModelFile, { model }: { model: string }): number {
  if (kindOfFile(file.mediaType) !== 'image') return file.tokens
  return model.toLowerCase().includes('gpt-4o-mini') ? MOST_OF_GPT_4O_MINI : MOST_IMAGE_TOKENS
}

/** The part of a model's message for a file that it cannot take, or that is not there any more. */
export function noteOf({ name, mediaType }: Pick<ModelFile, 'name' | 'mediaType'>): string {
  return `[A file was attached here that you cannot see: ${JSON.stringify(name)} (${mediaType})]`
}

/** Bytes as base64. */
export function base64Of({ bytes }: ModelFile): string {
  if (bytes === undefined) return ''
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
}
