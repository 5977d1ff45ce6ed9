const SUSPECT = /[\0\ud800-\udfff]/
const HIGH_SURROGATE_AT_END = /[\ud800-\udbff]$/

export type TextCleaner = {
  /** The part of what has come so far that may go on; empty if it has to wait for the next piece. */
  push(piece: string): string
  /** What was still waiting when the model stopped. */
  flush(): string
}

/**
 * Makes a model's text storable everywhere: NUL and lone surrogates become U+FFFD. A surrogate pair that a provider has
 * cut in two is held back until it is whole, so that no event ends in the middle of a character.
 */
export function createTextCleaner(): TextCleaner {
  let held = ''
  return {
    push(piece) {
      const text = held + piece
      held = ''
      if (!SUSPECT.test(text)) return text
      if (!HIGH_SURROGATE_AT_END.test(text)) return clean(text)
      held = text.slice(-1)
      return clean(text.slice(0, -1))
    },
    flush() {
      const rest = clean(held)
      held = ''
      return rest
    },
  }
}

function clean(text: string): string {
  return text.replaceAll('\0', '\ufffd').toWellFormed()
}
