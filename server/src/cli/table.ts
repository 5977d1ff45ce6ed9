import { printableJson, printableLine } from '../lib/text/printable.ts'

/** Rows in columns that are as wide as they need to be, each line ended; the first row is the heading. */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const cells = rows.map((row) => row.map(printableLine))
  const widths = (cells[0] ?? []).map((_, column) => Math.max(...cells.map((row) => widthOf(row[column] ?? ''))))
  const lines = cells.map((row) =>
    row
      .map((cell, column) => cell + ' '.repeat((widths[column] ?? 0) - widthOf(cell)))
      .join('  ')
      .trimEnd(),
  )
  return lines.map((line) => `${line}\n`).join('')
}

const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' })

/** Emoji, and the scripts whose characters take two columns (https://www.unicode.org/reports/tr11/). */
const WIDE =
  /^(?:\p{RGI_Emoji}|\p{Script=Han}|\p{Script=Hiragana}|\p{Script=Katakana}|\p{Script=Hangul}|[\u3000-\u303e\uff01-\uff60])/v

/** How many columns of a terminal a line takes. */
function widthOf(line: string): number {
  return Array.from(graphemes.segment(line), ({ segment }) => (WIDE.test(segment) ? 2 : 1)).reduce<number>(
    (sum, width) => sum + width,
    0,
  )
}

/** A time as the tables show it, in UTC to the minute. */
export function formatTime(at: number | null): string {
  return at === null ? '-' : `${new Date(at).toISOString().slice(0, 16).replace('T', ' ')}Z`
}

/** The option of every list that is also for programs. */
export const JSON_OPTION = { json: { type: 'boolean' } } as const
export const JSON_HELP = '  --json              A JSON array instead of a table, with whole times.'

/** A list for programs. What a terminal could take for a command is escaped, which changes nothing for a parser. */
export function formatJson(list: readonly object[]): string {
  return `${printableJson(JSON.stringify(list, null, 2))}\n`
}

/** A time as JSON has it. */
export function isoTime(at: number | null): string | null {
  return at === null ? null : new Date(at).toISOString()
}
