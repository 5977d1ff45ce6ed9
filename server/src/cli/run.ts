import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { printableLine } from '../lib/text/printable.ts'
import { type Io, UsageError } from './command.ts'
import { COMMANDS, type CommandEntry } from './commands.ts'
import { helpFor, helpForAll } from './help.ts'

const HELP = new Set(['help', '--help', '-h'])
const VERSION = new Set(['version', '--version', '-v'])

/** Runs the command that `args` name and answers with the exit code: 0, 1 for a failure, 2 for wrong usage. */
export async function runCommandLine(args: readonly string[], io: Io): Promise<number> {
  const [first = 'help'] = args
  if (VERSION.has(first)) return print(io, `${readVersion()}\n`)
  const asksForHelp = HELP.has(first)
  const words = asksForHelp ? args.slice(1) : args
  const entry = findCommand(words)
  if (entry) {
    const rest = words.slice(entry.name.split(' ').length)
    if (asksForHelp || wantsHelp(rest)) return print(io, helpFor(entry, await entry.load()))
    return run(entry, rest, io)
  }
  const group = COMMANDS.filter(({ name }) => name.startsWith(`${words[0]} `))
  if (words.length === 0) return print(io, helpForAll(COMMANDS))
  if (group.length > 0 && (asksForHelp || wantsHelp(words))) return print(io, helpForAll(group))
  return complain(io, unknownCommand(words, group))
}

function readVersion(): string {
  const text = readFileSync(join(import.meta.dirname, '../../package.json'), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}

function findCommand(words: readonly string[]): CommandEntry | undefined {
  return COMMANDS.find(({ name }) => name === words.slice(0, name.split(' ').length).join(' '))
}

/** What follows `--` is not for us. */
function wantsHelp(rest: readonly string[]): boolean {
  const end = rest.indexOf('--')
  return rest.slice(0, end === -1 ? rest.length : end).some((word) => word === '--help' || word === '-h')
}

async function run({ name, load }: CommandEntry, args: readonly string[], io: Io): Promise<number> {
  try {
    const command = await load()
    const { readEnvironment } = await import('../config/environment.ts')
    return await command.run(args, { ...io, env: readEnvironment(io.env, process.cwd()) })
  } catch (error) {
    if (error instanceof UsageError) {
      return complain(io, `dramatis ${name}: ${error.message} (see "dramatis ${name} --help").`)
    }
    for (const sentence of await sentencesOf(error)) {
      io.stderr.write(`dramatis ${name}: ${withStop(printableLine(sentence))}\n`)
    }
    return 1
  }
}

async function sentencesOf(error: unknown): Promise<string[]> {
  const message = error instanceof Error && error.message !== '' ? error.message : String(error)
  const { ConfigError } = await import('../config/config-error.ts')
  // A configuration may be wrong in several places, each with a sentence of its own.
  return error instanceof ConfigError ? message.split('\n') : [message]
}

function unknownCommand([first = '', second]: readonly string[], group: readonly CommandEntry[]): string {
  if (group.length === 0) {
    return `dramatis: there is no ${first.startsWith('-') ? 'option' : 'command'} "${first}" (see "dramatis help").`
  }
  const names = group.map(({ name }) => name).join(', ')
  return second === undefined
    ? `dramatis ${first}: say which one: ${names}.`
    : `dramatis ${first}: there is no command "${first} ${second}", there are ${names}.`
}

function print(io: Io, text: string): number {
  io.stdout.write(text)
  return 0
}

function complain(io: Io, sentence: string): number {
  io.stderr.write(`${printableLine(sentence)}\n`)
  return 2
}

function withStop(sentence: string): string {
  return /[.!?]$/.test(sentence) ? sentence : `${sentence}.`
}
