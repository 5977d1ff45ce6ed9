import { createHash } from 'node:crypto'
import type { ToolCall } from '../../../models/tool-call.ts'

/** Hexadecimal digits of an id; with `call_` before them it is one that every provider but Mistral takes as it is. */
const DIGITS = 24

/**
 * The id of a call that a model has made: ours and not the model's, because models use theirs again from step to step,
 * leave them empty, or give one to two calls, and a decision or a result must be about one call. The same place in the
 * same run always has the same id, and no other place of any run has it.
 */
export function callIdOf(runId: string, step: number, n: number): string {
  return hashed(`${runId}/${step}/${n}`)
}

/**
 * Gives a call that bears an id of an earlier one of its context another: strict providers take none twice. What stands
 * in a history that a caller has brought, or that is older than ids of our own, may have such.
 */
export function createDistinctIds(): (call: ToolCall, place: string) => ToolCall {
  const seen = new Set<string>()
  return (call, place) => {
    const id = seen.has(call.id) ? hashed(`${place}/${call.id}`) : call.id
    seen.add(id)
    return id === call.id ? call : { ...call, id }
  }
}

function hashed(place: string): string {
  return `call_${createHash('sha256').update(place).digest('hex').slice(0, DIGITS)}`
}
