/** Finds the texts of streamed chunks without parsing them. */
export type TextShortcut = {
  /** Gives out the text of the chunk that begins at `at`. Where that event ends; -1 when it has to be parsed. */
  take(stream: string, at: number): number
  /** Takes a chunk for a pattern that was parsed: `content` is the text in it. */
  learn(data: string, content: string): void
}

/** Patterns that are tried before giving up on a provider that says something new in every chunk. */
const MOST_PATTERNS = 3
/** Pieces that did not fit before the same: looking for the pattern would cost more than it saves. */
const MOST_MISSES = 8

/** As a text it needs no escapes, and no provider will have sent it. */
const PROBE = 'dramatis-probe'

/**
 * The chunks of one reply differ in nothing but their text: what stands before and behind it is compared instead of
 * parsed. A pattern is only taken when `readText` finds another text in its place, so what fits
 * is read as it would be after parsing. `readText` says what the text of a chunk is, and null when there is more
 * in it than a text.
 */
export function createTextShortcut(options: {
  readText(data: string): string | null
  onText(text: string): void
}): TextShortcut {
  let before = ''
  let behind = ''
  let patterns = 0
  let misses = 0

  return {
    take(stream, at) {
      if (before === '' || misses > MOST_MISSES || !stream.startsWith(before, at)) return -1
      // One search for the rest of the stream: with a pattern of some 200 characters it leaps from text to text.
      const pieces = stream.slice(at + before.length).split(behind + before)
      let end = at
      for (let i = 0; i < pieces.length; i++) {
        const piece = pieces[i] as string
        const length = i < pieces.length - 1 ? piece.length : piece.indexOf(behind)
        const text = length === -1 ? null : textOf(piece.slice(0, length))
        if (text === null) {
          misses++
          break
        }
        if (text !== '') options.onText(text)
        end += before.length + length + behind.length
      }
      return end === at ? -1 : end
    },

    learn(data, content) {
      if (patterns >= MOST_PATTERNS) return
      patterns++
      const written = JSON.stringify(content)
      const at = data.indexOf(written)
      if (at === -1) return
      const start = data.slice(0, at + 1)
      const end = data.slice(at + written.length - 1)
      if (options.readText(start + PROBE + end) !== PROBE) return
      before = `data: ${start}`
      behind = `${end}\n\n`
    },
  }
}

/** What is written between two quotes; null when there is more than a text, or what is no JSON. */
function textOf(written: string): string | null {
  if (isPlain(written)) return written
  try {
    return JSON.parse(`"${written}"`) as string
  } catch {
    return null
  }
}

/** Whether a text stands in JSON as it is. A loop, because most have five characters. */
function isPlain(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit < SPACE || unit === QUOTE || unit === BACKSLASH) return false
  }
  return true
}

const SPACE = 32
const QUOTE = 34
const BACKSLASH = 92
