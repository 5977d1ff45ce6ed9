import { randomBytes } from 'node:crypto'
import { isJsonObject, type JsonObject, type JsonValue } from '../../lib/json.ts'
import { type ToolCall, toToolCall } from '../tool-call.ts'
import { readToolInput } from '../tool-input.ts'
import { besideCall, joinedObjects } from './thought-members.ts'

/** Calls of one reply that are kept; fewer are made. */
const MOST_CALLS = 128
/** UTF-16 units of an input that are kept, and up to which it is looked at whether it is whole already. */
const LONGEST_INPUT = 4 * 1_024 * 1_024
const LONGEST_COMPARED = 16_384
/** UTF-16 units of a name that comes in pieces. */
const LONGEST_NAME = 256

/** A call as far as it has come. An index is missing where its server gives none. */
type Begun = { index: number | null; ids: Set<string>; name: string; input: string; beside: JsonObject | null }

/** One piece, with everything in it that was there. */
type Piece = { index: number | null; id: string; name: string; input: string; beside: JsonObject | null }

/**
 * Puts the calls of a Chat Completions reply together, whose names and arguments come in pieces. A piece belongs to the
 * call of its id, else to the newest of its index, else to the newest of all. One with another id or another name begins
 * a new call there, because some servers give every call the index 0, or none; but not where it clearly goes on with
 * an input that is not whole, because others give every piece another id. A call without an id, or with one that was
 * there before, gets one of ours: the results are told apart by them. `names` are the tools that there are.
 */
export function createCallCollector(names: ReadonlySet<string> = new Set(), aiSystem = '') {
  const begun: Begun[] = []

  /** The call that a piece goes on with; undefined when it begins one. `isFirst`: of those that came together. */
  function callOf(piece: Piece, isFirst: boolean): Begun | undefined {
    const { id, index, name, input } = piece
    const last = nearest(piece)
    if (last === undefined || beginsAgain(last, piece)) return undefined
    if (id !== '' && last.ids.has(id)) return last
    if (index === null && name !== '' && !isFirst) return undefined
    if (id !== '' && last.ids.size > 0) return goesOn(last, piece) ? last : undefined
    const isOther = name !== '' && last.name !== '' && name !== last.name && !names.has(last.name + name)
    if (isOther && (index === null || names.has(name)) && !name.startsWith(last.name)) return undefined
    // Without an index, the same name again with nothing behind it is a call of its own.
    if (index === null && id === '' && name !== '' && name === last.name && input === '') return undefined
    return last
  }

  /** The call that a piece most likely belongs to, if it belongs to one. */
  function nearest({ id, index, name }: Piece): Begun | undefined {
    const ofId = id === '' ? [] : begun.filter(({ ids }) => ids.has(id))
    const isSame = (call: Begun) => index === null || call.index === null || call.index === index
    const exact = ofId.findLast(isSame) ?? (name === '' ? ofId.at(-1) : undefined)
    if (exact) return exact
    const ofIndex = index === null ? begun.at(-1) : begun.findLast((call) => call.index === index)
    // Where the index changes with every piece, one without a name can only go on.
    return ofIndex ?? (id === '' && name === '' ? begun.at(-1) : undefined)
  }

  function addName(call: Begun, name: string): void {
    const isWholeName = call.name === '' || call.name === name || name.startsWith(call.name)
    // Some say the name again with every piece; a piece of a name comes before the input.
    if (isWholeName) call.name = name
    else if (call.input === '' && (!names.has(call.name) || names.has(call.name + name))) call.name += name
    call.name = call.name.slice(0, LONGEST_NAME)
  }

  function takePiece(value: JsonValue, isFirst: boolean): void {
    const piece = readPiece(value)
    if (piece === null) return
    const known = callOf(piece, isFirst)
    if (known === undefined && begun.length === MOST_CALLS) return
    const call = known ?? { index: piece.index, ids: new Set<string>(), name: '', input: '', beside: null }
    if (known === undefined) begun.push(call)
    if (piece.id !== '' && call.ids.size < 2) call.ids.add(piece.id)
    if (piece.name !== '') addName(call, piece.name)
    call.beside = joinedObjects(call.beside, piece.beside)
    // What is cut is no JSON any more, and so is never carried out.
    if (call.input.length < LONGEST_INPUT) call.input += piece.input
  }

  return {
    /** True if there was something in it. */
    take(pieces: JsonValue | undefined): boolean {
      const list = Array.isArray(pieces) ? pieces : isJsonObject(pieces) ? [pieces] : []
      for (const [n, piece] of list.entries()) takePiece(piece, n === 0)
      return list.length > 0
    },

    texts,

    all(): ToolCall[] {
      return texts().map(({ id, name, input, beside }) => {
        const call = toToolCall(id, name, input)
        return beside === null ? call : { ...call, providerData: { aiSystem, members: beside } }
      })
    },
  }

  /** The calls with their inputs as they were written. */
  function texts(): { id: string; name: string; input: string; beside: JsonObject | null }[] {
    const taken = new Set<string>()
    return begun
      .filter(({ name }) => name !== '')
      .map(({ ids, name, input, beside }) => {
        const [id = ''] = ids
        const own = id === '' || taken.has(id) ? `call_${randomBytes(12).toString('hex')}` : id
        taken.add(own)
        return { id: own, name, input, beside }
      })
  }
}

/** A piece, also one that is not wrapped in a `function`. Null for what is none. */
function readPiece(value: JsonValue): Piece | null {
  if (!isJsonObject(value)) return null
  const inner = isJsonObject(value.function) ? value.function : value
  const id = typeof value.id === 'string' || typeof value.id === 'number' ? String(value.id) : ''
  const name = typeof inner.name === 'string' ? inner.name : ''
  // What stands beside a call that is not wrapped cannot be told from the call itself.
  const beside = inner === value ? null : besideCall(value)
  return { index: indexOf(value), id, name, input: inputOf(inner), beside }
}

function indexOf({ index }: JsonObject): number | null {
  if (typeof index === 'number') return index
  return typeof index === 'string' && /^\d{1,4}$/.test(index) ? Number(index) : null
}

/** Some servers send the object itself; an empty one may only say that the pieces will follow. */
function inputOf({ arguments: given, input, parameters }: JsonObject): string {
  const value = given ?? input ?? parameters ?? ''
  if (typeof value === 'string') return value
  return Object.keys(value).length === 0 ? '' : JSON.stringify(value)
}

/** Some servers give every call the same id too: a name with an input of its own, where there is a whole one, is new. */
function beginsAgain({ ids, name, input }: Begun, piece: Piece): boolean {
  if (name === '' || piece.name === '' || !piece.input.trimStart().startsWith('{') || !isWhole(input)) return false
  // At the end some say once more what they have said in pieces, and others begin with an empty input.
  return !(ids.has(piece.id) && piece.name === name && (piece.input === input || input.trim() === '{}'))
}

/** Whether a piece with an id of its own is the middle of an input all the same: its server gives every piece another. */
function goesOn({ name, input }: Begun, piece: Piece): boolean {
  if (piece.name === '') return piece.input === '' || !isWhole(input)
  if (piece.name !== name || piece.input === '') return false
  if (input === '') return piece.index !== null
  return !piece.input.trimStart().startsWith('{') && !isWhole(input)
}

function isWhole(input: string): boolean {
  if (input.length > LONGEST_COMPARED || !/[}"]\s*$/.test(input)) return false
  return readToolInput(input) !== null
}
