import { ConfigError } from '../config.ts'
import { type Command, type Io, UsageError } from './command.ts'
import { COMMANDS } from './commands.ts'
import { helpFor, helpForAll } from './help.ts'

const HELP = new Set(['help', '--help', '-h'])
const VERSION = new Set(['version', '--version', '-v'])

/** Runs the command that `args` name and answers with the exit code: 0, 1 for a failure, 2 for wrong usage. */
export async function runCommandLine(args: readonly string[], io: Io): Promise<number> {
  const [first = 'help'] = args
  if (VERSION.has(first)) {
    const { VERSION: version } = await import('../app.ts')
    io.stdout.write(`${version}\n`)
    return 0
  }
  const asksForHelp = HELP.has(first)
  const words = asksForHelp ? args.slice(1) : args
  const command = findCommand(words)
  if (command) {
    const rest = words.slice(command.name.split(' ').length)
    return asksForHelp || wantsHelp(rest) ? print(io, helpFor(command)) : run(command, rest, io)
  }
  const group = COMMANDS.filter(({ name }) => name.startsWith(`${words[0]} `))
  if (words.length === 0) return print(io, helpForAll(COMMANDS))
  if (group.length > 0 && (asksForHelp || wantsHelp(words))) return print(io, helpForAll(group))
  return complain(io, unknownCommand(words, group))
}

function findCommand(words: readonly string[]): Command | undefined {
  return COMMANDS.find(({ name }) => name === words.slice(0, name.split(' ').length).join(' '))
}

/** What follows `--` is not for us. */
function wantsHelp(rest: readonly string[]): boolean {
  const end = rest.indexOf('--')
  return rest.slice(0, end === -1 ? rest.length : end).some((word) => word === '--help' || word === '-h')
}

async function run(command: Command, args: readonly string[], io: Io): Promise<number> {
  try {
    return await command.run(args, io)
  } catch (error) {
    if (error instanceof UsageError) {
      return complain(io, `dramatis ${command.name}: ${error.message} (see "dramatis ${command.name} --help").`)
    }
    // A configuration may be wrong in several places, each with a sentence of its own.
    const sentences =
      error instanceof ConfigError ? error.message.split('\n') : [messageOf(error).replaceAll(/\s+/g, ' ')]
    for (const sentence of sentences) io.stderr.write(`dramatis ${command.name}: ${withStop(sentence)}\n`)
    return 1
  }
}

function unknownCommand([first, second]: readonly string[], group: readonly Command[]): string {
  if (group.length === 0) return `dramatis: there is no command "${first}" (see "dramatis help").`
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
  io.stderr.write(`${sentence}\n`)
  return 2
}

function messageOf(error: unknown): string {
  return error instanceof Error && error.message !== '' ? error.message : String(error)
}

function withStop(sentence: string): string {
  return /[.!?]$/.test(sentence) ? sentence : `${sentence}.`
}
