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
