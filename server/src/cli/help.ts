import type { Command } from './command.ts'
import type { CommandEntry } from './commands.ts'

/** The list of commands: all of them, or those of a group such as `keys`. */
export function helpForAll(commands: readonly CommandEntry[]): string {
  const width = Math.max(...commands.map(({ name }) => name.length))
  return [
    'Usage: dramatis COMMAND',
    '',
    ...commands.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`),
    '',
    '"dramatis COMMAND --help" tells more about each.',
    'Configuration is environment variables, the same as for the server.',
    'Exit codes: 0 for success, 1 for a failure, 2 for wrong usage.',
    '',
  ].join('\n')
}

export function helpFor({ name, summary }: CommandEntry, { usage, details }: Command): string {
  return `Usage: dramatis ${`${name} ${usage}`.trim()}\n\n${summary}.\n\n${details}\n`
}
