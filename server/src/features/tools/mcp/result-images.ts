import type { ModelFile } from '../../../models/model-file.ts'

/** Images of one result that a model is given. */
const MOST_IMAGES = 8
/** Bytes of the smallest image there can be; a provider refuses what is none, and all with it. */
const SMALLEST = 32
/** About what an image takes in a prompt. */
const TOKENS = 1_600

/** How the files of each type begin, in hexadecimal. */
const BEGINNINGS: readonly [mediaType: string, beginning: RegExp][] = [
  ['image/png', /^89504e470d0a1a0a/],
  ['image/jpeg', /^ffd8ff/],
  ['image/gif', /^47494638/],
  ['image/webp', /^52494646.{8}57454250/],
]

/** Gathers the images of a result. */
export function createResultImages() {
  const files: ModelFile[] = []
  return {
    files: files as readonly ModelFile[],
    /** Whether it is an image that models take; its bytes say of which type it is, whatever the server says. */
    take(data: unknown): boolean {
      if (typeof data !== 'string' || files.length === MOST_IMAGES) return false
      const bytes = Buffer.from(data, 'base64')
      const beginning = bytes.toString('hex', 0, 12)
      const mediaType = BEGINNINGS.find(([, pattern]) => pattern.test(beginning))?.[0]
      if (mediaType === undefined || bytes.length < SMALLEST) return false
      const name = `image-${files.length + 1}.${mediaType.slice('image/'.length)}`
      files.push({ id: name, name, mediaType, tokens: TOKENS, bytes })
      return true
    },
  }
}
