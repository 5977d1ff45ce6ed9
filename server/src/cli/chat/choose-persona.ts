import { printableLine } from '../../lib/text/printable.ts'
import { Failure } from '../command.ts'
import type { ChatPersona } from './api.ts'
import type { Terminal } from './terminal.ts'

/**
 * The persona with this id or name, else those whose name begins like it, in either case. One is taken, of several the
 * person chooses; null when the input ends instead. Throws {@link Failure} when there is none.
 */
export async function choosePersona(
  terminal: Terminal,
  personas: readonly ChatPersona[],
  wanted: string | undefined,
): Promise<ChatPersona | null> {
  if (personas.length === 0) throw new Failure('there is no persona here that can be talked to')
  const fitting = wanted === undefined ? personas : findPersonas(personas, wanted)
  if (fitting.length === 0) {
    const names = personas.slice(0, 20).map(({ name }) => printableLine(name))
    throw new Failure(`no persona is called "${wanted}" or begins like it: there are ${names.join(', ')}`)
  }
  return fitting.length === 1 ? (fitting[0] as ChatPersona) : askForOne(terminal, fitting)
}

function findPersonas(personas: readonly ChatPersona[], wanted: string): readonly ChatPersona[] {
  const low = wanted.trim().toLowerCase()
  const same = personas.filter(({ id, name }) => id === low || name.trim().toLowerCase() === low)
  return same.length > 0 ? same : personas.filter(({ name }) => name.trim().toLowerCase().startsWith(low))
}

async function askForOne(terminal: Terminal, personas: readonly ChatPersona[]): Promise<ChatPersona | null> {
  const width = String(personas.length).length
  for (const [i, { name, description }] of personas.entries()) {
    terminal.note(`  ${String(i + 1).padStart(width)}  ${printableLine(name)}: ${printableLine(description)}`)
  }
  for (;;) {
    const answer = await terminal.ask('Which one? ')
    if (answer === null) return null
    const chosen = /^\d+$/.test(answer.trim()) ? personas[Number(answer.trim()) - 1] : undefined
    if (chosen) return chosen
    terminal.note(`Please give a number from 1 to ${personas.length}.`)
  }
}

/** Values for the variables of a persona: those that are given, and what the person answers for required ones; null at the end of the input. */
export async function askForValues(
  terminal: Terminal,
  persona: ChatPersona,
  given: Readonly<Record<string, string>>,
): Promise<Record<string, string> | null> {
  const values: Record<string, string> = { ...given }
  for (const { name, description, isRequired, hasDefault } of persona.variables) {
    if (!isRequired || hasDefault || Object.hasOwn(given, name)) continue
    const hint = description === null ? '' : ` (${printableLine(description)})`
    let answer = await terminal.ask(`${printableLine(name)}${hint}: `)
    // A program may have a reason to give an empty line; a person has pressed a key too often.
    while (answer === '' && terminal.isInteractive) answer = await terminal.ask(`${printableLine(name)}${hint}: `)
    if (answer === null) return null
    values[name] = answer
  }
  return values
}
