import { randomBytes } from 'node:crypto'
import { isJsonObject, type JsonObject, type JsonValue } from '../../lib/json.ts'
import { type ToolCall, toToolCall } from '../tool-call.ts'

/** Calls of one reply that are kept; fewer are made. */
const MOST_CALLS = 128
/** UTF-16 units of an input that are kept, and up to which it is looked at whether it is whole already. */
const LONGEST_INPUT = 4 * 1_024 * 1_024
const LONGEST_COMPARED = 16_384

type Begun = { index: number; id: string; name: string; input: string }

/**
 * Puts the calls of a Chat Completions reply together, whose arguments come in pieces. A piece belongs to the newest
 * call of its index; a piece with another id begins a new call there, because some servers give every call the index 0.
 * A call without an id, or with one that was there before, gets one of ours: the results are told apart by them.
 */
export function createCallCollector() {
  const begun: Begun[] = []

  function takePiece(piece: JsonValue): void {
    if (!isJsonObject(piece) || !isJsonObject(piece.function)) return
    const index = typeof piece.index === 'number' ? piece.index : begun.length
    const id = typeof piece.id === 'string' ? piece.id : ''
    const { name, arguments: input = '' } = piece.function
    const last = begun.findLast((call) => call.index === index)
    const isNew = last === undefined || (id !== '' && id !== last.id) || beginsAgain(last, piece.function)
    const call = isNew ? { index, id, name: '', input: '' } : last
    if (isNew && begun.length === MOST_CALLS) return
    if (isNew) begun.push(call)
    if (typeof name === 'string' && name !== '') call.name = name
    // Some servers send the object itself.
    // What is cut is no JSON any more, and so is never carried out.
    if (call.input.length < LONGEST_INPUT) call.input += typeof input === 'string' ? input : JSON.stringify(input)
  }

  return {
    /** True if there was something in it. */
    take(pieces: JsonValue | undefined): boolean {
      if (!Array.isArray(pieces) || pieces.length === 0) return false
      for (const piece of pieces) takePiece(piece)
      return true
    },

    all(): ToolCall[] {
      const ids = new Set<string>()
      return begun
        .filter(({ name }) => name !== '')
        .map(({ id, name, input }) => {
          const own = id === '' || ids.has(id) ? `call_${randomBytes(12).toString('hex')}` : id
          ids.add(own)
          return toToolCall(own, name, input)
        })
    },
  }
}

/** Some servers give every call the same id too: a name with an input of its own, where there is a whole one, is new. */
function beginsAgain({ name, input }: Begun, { name: next, arguments: more }: JsonObject): boolean {
  const hasInput = typeof more === 'string' ? more.trimStart().startsWith('{') : isJsonObject(more)
  const mayBeWhole = input.length <= LONGEST_COMPARED && input.trimEnd().endsWith('}')
  return name !== '' && typeof next === 'string' && next !== '' && hasInput && mayBeWhole && isWhole(input)
}

function isWhole(input: string): boolean {
  try {
    return isJsonObject(JSON.parse(input))
  } catch {
    return false
  }
}
