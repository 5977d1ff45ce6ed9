/** UTF-16 units, the ellipsis aside. */
const MAX_LENGTH = 60
/** What a title is looked for in. */
const MAX_SOURCE = 2_000

/** Code, links, markup, and characters that change the direction of what stands behind them. */
const HIDDEN: readonly [RegExp, string][] = [
  [/```[\s\S]*?(```|$)/g, ' '],
  [/!?\[([^[\]]*)\]\([^()]*\)/g, '$1'],
  [/^[^\S\n]*(?:[-+]|\d+[.)])\s+/gm, ''],
  [/[*_`#>|~]+/g, ''],
  [/[\u202a-\u202e\u2066-\u2069\ufeff]/g, ''],
  [/[\s\p{Cc}]+/gu, ' '],
]
const QUOTES = '"\'“”„‟‘’‚«»‹›「」『』《》'

/**
 * A name for a conversation, taken from what its user said first: one line, without markup, the first sentence, cut
 * between words at {@link MAX_LENGTH} units. Null when nothing is left.
 */
export function titleFrom(userText: string): string | null {
  const line = withoutQuotes(plainLine(userText))
  const sentence = /^.{12,}?(?:[.!?](?=\s|$)|[\u3002\uff01\uff1f])/u.exec(line)?.[0] ?? line
  return shorten(sentence.replace(/[.。]$/, ''))
}

/** What a model gave as a title, as one line: its first with anything in it, without a label, quotes and a full stop. */
export function titleFromModel(text: string): string | null {
  const first = text.split('\n').find((line) => plainLine(line) !== '') ?? ''
  const line = plainLine(first).replace(/^(?:title|titel|titre|título|titolo|заголовок|标题|題名)\s*[:：]\s*/iu, '')
  return shorten(withoutQuotes(line).replace(/[.。]$/, ''))
}

function plainLine(text: string): string {
  const shown = HIDDEN.reduce((line, [pattern, by]) => line.replaceAll(pattern, by), text.slice(0, MAX_SOURCE))
  return shown.toWellFormed().trim()
}

/** Only around the whole: quotes within belong to it. */
function withoutQuotes(line: string): string {
  let from = 0
  let to = line.length
  while (to - from > 1 && QUOTES.includes(line[from] as string) && QUOTES.includes(line[to - 1] as string)) {
    from++
    to--
  }
  return line.slice(from, to).trim()
}

function shorten(whole: string): string | null {
  const line = withoutQuotes(whole.trim())
  if (line === '') return null
  if (line.length <= MAX_LENGTH) return line
  const beginning = line
    .slice(0, MAX_LENGTH)
    .toWellFormed()
    .replace(/\ufffd$/, '')
  const lastSpace = beginning.lastIndexOf(' ')
  return `${(lastSpace > MAX_LENGTH / 2 ? beginning.slice(0, lastSpace) : beginning).trimEnd()}…`
}
