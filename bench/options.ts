import { parseArgs } from 'node:util'

export const SCENARIOS = ['start', 'create', 'turns', 'history', 'streams'] as const
export type Scenario = (typeof SCENARIOS)[number]

export const USAGE = `node bench/run.ts [options]

  --only ${SCENARIOS.join(',')}   only these scenarios
  --server floor,sqlite,…   only these servers (default: floor,sqlite,postgres)
  --all                     every server, peers included (npm run bench:peers)
  --reps N                  repetitions (default 3)
  --quick                   one short repetition, no page written
  --no-page                 no page written
  --profile DIR             CPU profiles of the servers while they are under load
  --help
`

export type Options = {
  only: readonly Scenario[]
  /** Null: the usual ones. */
  servers: readonly string[] | null
  isAll: boolean
  repetitions: number
  isQuick: boolean
  writesPage: boolean
  profile: string | null
}

/** Null when only help is wanted. Throws with a sentence on options that do not exist. */
export function readOptions(args: readonly string[]): Options | null {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: 'string' },
      server: { type: 'string' },
      all: { type: 'boolean', default: false },
      reps: { type: 'string' },
      quick: { type: 'boolean', default: false },
      'no-page': { type: 'boolean', default: false },
      profile: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return null
  const only = listOf(values.only) ?? SCENARIOS
  const unknown = only.filter((name) => !(SCENARIOS as readonly string[]).includes(name))
  if (unknown.length > 0) throw new Error(`there is no scenario ${unknown.join(', ')}`)
  const isWhole = values.only === undefined && values.server === undefined && values.profile === undefined
  const repetitions = Number(values.reps ?? (values.quick ? 1 : 3))
  if (!Number.isInteger(repetitions) || repetitions < 1) throw new Error('--reps is a number from 1')
  return {
    only: only as readonly Scenario[],
    servers: listOf(values.server),
    isAll: values.all,
    repetitions,
    isQuick: values.quick,
    // The page is only of use with everything in it.
    writesPage: isWhole && !values.quick && !values['no-page'],
    profile: values.profile ?? null,
  }
}

const listOf = (text: string | undefined) => text?.split(',').map((name) => name.trim()) ?? null
