import { type ParseArgsConfig, parseArgs } from 'node:util'

/** What a command has of the world. */
export type Io = {
  env: Readonly<Record<string, string | undefined>>
  stdin: NodeJS.ReadStream
  stdout: NodeJS.WriteStream
  stderr: NodeJS.WriteStream
}

/** The command was called in a wrong way: one sentence, exit code 2. */
export class UsageError extends Error {}

/** The command could not do what it was asked for: one sentence, exit code 1. */
export class Failure extends Error {}

type Options = NonNullable<ParseArgsConfig['options']>
type Values<O extends Options> = ReturnType<typeof parseArgs<{ options: O; allowPositionals: true }>>['values']

/** What is given when calling: the values of options, and the words without a name. */
export type Call<O extends Options> = { values: Values<O>; words: string[]; io: Io }

export type Command = {
  /** What follows the name. */
  usage: string
  /** The help, below the usage and the summary. */
  details: string
  /** Runs it and answers with the exit code. */
  run(args: readonly string[], io: Io): Promise<number>
}

export type CommandDefinition<O extends Options> = {
  usage: string
  details: string
  options: O
  /** Names of the words that have to be given, in order. */
  required?: readonly string[]
  /** Names of those that may follow. */
  optional?: readonly string[]
  /** A number is the exit code; without one it is 0. */
  run(call: Call<O>): Promise<number | undefined>
}

/** A command whose options are parsed by its own definition, so that their types follow from it. */
export function defineCommand<const O extends Options>(definition: CommandDefinition<O>): Command {
  const { usage, details, options, required = [], optional = [], run } = definition
  return {
    usage,
    details,
    run: async (args, io) => {
      const { values, words } = parse(args, options)
      const missing = required[words.length]
      if (missing !== undefined) throw new UsageError(`${missing} is missing`)
      const extra = words[required.length + optional.length]
      if (extra !== undefined) throw new UsageError(`"${extra}" is one word too many; quote what belongs together`)
      return (await run({ values, words, io })) ?? 0
    },
  }
}

function parse<const O extends Options>(args: readonly string[], options: O): { values: Values<O>; words: string[] } {
  try {
    const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true })
    return { values: values as Values<O>, words: positionals }
  } catch (error) {
    // The first sentence says what is wrong; the rest is advice about other things one might have meant.
    const [sentence = ''] = (error as Error).message.split(/\.(?:\s|$)/)
    throw new UsageError(sentence.charAt(0).toLowerCase() + sentence.slice(1))
  }
}
