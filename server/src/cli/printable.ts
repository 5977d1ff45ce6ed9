/** C0 and C1 control characters except tab and line feed: to a terminal they are commands. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not get through
const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g

/** Text of others as it may be written to a terminal. */
export function printable(text: string): string {
  return text.replace(CONTROLS, '')
}

/** The same on one line. */
export function printableLine(text: string): string {
  return printable(text).replaceAll(/\s+/g, ' ')
}
