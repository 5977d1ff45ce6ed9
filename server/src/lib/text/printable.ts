/**
 * What a terminal obeys, and what hides or turns around the text beside it: control characters (C0 and C1, the beginnings
 * of all escape sequences, but not tab and line feed), overrides and isolates of the direction of writing
 * (https://www.unicode.org/reports/tr9/, whose marks for single characters stay), characters without width except the two
 * joiners that scripts and emoji need, and tags (of which the flags of Scotland and its like are made).
 */
const UNPRINTABLE =
  /(\u{1f3f4}[\u{e0030}-\u{e0039}\u{e0061}-\u{e007a}]{1,8}\u{e007f})|(?![\t\n])\p{Cc}|[\u00ad\u180e\u200b\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu

/** Text of others as it may be written to a terminal. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, (found, flag: string | undefined) => flag ?? (isLineEnd(found) ? '\n' : ''))
}

/** The same on one line. */
export function printableLine(text: string): string {
  return printable(text).replaceAll(/\s+/g, ' ')
}

/** All that some reader takes for the end of a line. */
const LINE_ENDS = /\r\n|[\r\v\f\u0085\u2028\u2029]/g

/** Text of others in which all this can be seen, as `[U+202E]`, so that a reader knows that it was there. */
export function visible(text: string): string {
  const shown = (character: string) => `[U+${character.codePointAt(0)?.toString(16).toUpperCase().padStart(4, '0')}]`
  return text
    .replaceAll(LINE_ENDS, '\n')
    .replace(UNPRINTABLE, (found, flag: string | undefined) => flag ?? shown(found))
}

/** JSON that is the same to a parser and harmless to a terminal, and to readers that know more ends of lines than JSON. */
export function printableJson(json: string): string {
  // Most lines of a log are plain: this look at them takes a quarter of the time.
  if (!/[^\n -~]/.test(json)) return json
  return json.replace(UNPRINTABLE, (found, flag: string | undefined) => flag ?? escaped(found))
}

function isLineEnd(character: string): boolean {
  return character === '\u2028' || character === '\u2029'
}

function escaped(character: string): string {
  const units = Array.from({ length: character.length }, (_, i) => character.charCodeAt(i))
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('')
}
