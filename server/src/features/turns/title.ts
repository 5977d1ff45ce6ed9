const MAX_LENGTH = 60

/**
 * A name for a conversation, taken from what its user said first: one line, without markup, cut between words at
 * {@link MAX_LENGTH} UTF-16 units. Null when nothing is left.
 */
export function titleFrom(userText: string): string | null {
  const line = userText
    .slice(0, 2_000)
    .replaceAll(/```[\s\S]*?(```|$)/g, ' ')
    .replaceAll(/[*_`#>|~]+/g, '')
    .replaceAll(/\s+/g, ' ')
    .trim()
  if (line === '') return null
  const sentence = /^.{12,}?[.!?。!?](?=\s|$)/u.exec(line)?.[0] ?? line
  if (sentence.length <= MAX_LENGTH) return sentence.replace(/[.。]$/, '')
  const cut = sentence
    .slice(0, MAX_LENGTH)
    .toWellFormed()
    .replace(/\ufffd$/, '')
  const lastSpace = cut.lastIndexOf(' ')
  return `${(lastSpace > MAX_LENGTH / 2 ? cut.slice(0, lastSpace) : cut).trimEnd()}…`
}
