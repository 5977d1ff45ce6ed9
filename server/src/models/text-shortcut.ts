/** Finds the text of a streamed chunk without parsing it. */
export type TextShortcut = {
  /** The text of a chunk, `null` when it has to be parsed. */
  textOf(data: string): string | null
  /** Takes a chunk for a pattern that was parsed: `content` is the text in it. */
  learn(data: string, content: string): void
}

/** Patterns that are tried before giving up on a provider that says something new in every chunk. */
const MOST_PATTERNS = 3

/** As a text it needs no escapes, and no provider will have sent it. */
const PROBE = 'dramatis-probe'

/**
 * The chunks of one reply differ in nothing but their text: what stands before and behind it is compared instead of
 * parsed. A pattern is only taken when `readText` finds another text in its place, so that whatever fits it is read as it would be
 * after parsing. `readText` says what the text of a chunk is, and null when there is more in it than a text.
 */
export function createTextShortcut(readText: (data: string) => string | null): TextShortcut {
  let before = ''
  let behind = ''
  let patterns = 0

  function unescaped(written: string): string | null {
    try {
      return JSON.parse(`"${written}"`) as string
    } catch {
      // A quote that ends the text earlier: another chunk than the pattern.
      return null
    }
  }

  return {
    textOf(data) {
      if (before === '' || data.length < before.length + behind.length) return null
      if (!data.startsWith(before) || !data.endsWith(behind)) return null
      const written = data.slice(before.length, data.length - behind.length)
      if (written.includes('\\')) return unescaped(written)
      return written.includes('"') ? null : written
    },

    learn(data, content) {
      if (patterns >= MOST_PATTERNS) return
      patterns++
      const written = JSON.stringify(content)
      const at = data.indexOf(written)
      if (at === -1) return
      const start = data.slice(0, at + 1)
      const end = data.slice(at + written.length - 1)
      if (readText(start + PROBE + end) !== PROBE) return
      before = start
      behind = end
    },
  }
}
