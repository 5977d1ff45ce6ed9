import type { SqlValue, Statement } from '../database.ts'

/**
 * Batches on their way to the thread that writes, flat, because crossing costs by the object: of a batch its id and how
 * many statements it has, of each statement the number of its text, its guard, how many parameters, and those. A text
 * crosses once, for most are some hundred characters long and come again with every turn.
 */
export type BatchMessage = {
  /** Texts that are new, numbered on from those before. */
  texts: string[]
  /** The numbers before this message count no more. */
  isFresh: boolean
  values: SqlValue[]
}

/** Asks a thread to close its connection and end. It is only sent when nothing is under way. */
export const CLOSE = 'close'

/** In the place of the number of statements: rewrite the file, so that nothing is left in it of what was deleted. */
const SCRUB = -1

/** Texts that are remembered: lists of ids have many shapes, and forgetting all of them at once is simple and rare. */
const MOST_TEXTS = 500

/** Gathers batches for one message. */
export function createBatchWriter() {
  const numbers = new Map<string, number>()
  let message: BatchMessage = { texts: [], isFresh: false, values: [] }

  function numberOf(text: string): number {
    const known = numbers.get(text)
    if (known !== undefined) return known
    const number = numbers.size
    numbers.set(text, number)
    message.texts.push(text)
    return number
  }

  return {
    add(id: number, batch: readonly Statement[]): void {
      const { values } = message
      values.push(id, batch.length)
      for (const { sql, guard, parameters } of batch) {
        values.push(numberOf(sql), guard ?? null, parameters.length)
        for (const parameter of parameters) values.push(parameter)
      }
    },
    addScrub: (id: number): void => void message.values.push(id, SCRUB),
    isEmpty: (): boolean => message.values.length === 0,
    /** What was gathered, and begins anew. */
    take(): BatchMessage {
      const taken = message
      const isFresh = numbers.size > MOST_TEXTS
      if (isFresh) numbers.clear()
      message = { texts: [], isFresh, values: [] }
      return taken
    },
  }
}

/** One batch as it has come over, to be read once, statement by statement. */
export type ReadBatch = {
  id: number
  isScrub: boolean
  /** Calls `apply` for each statement in turn. Throws what that throws. */
  forEach(apply: (number: number, guard: string | null, parameters: SqlValue[]) => void): void
}

/** Cuts a message into its batches. */
export function readBatches({ values }: BatchMessage): ReadBatch[] {
  const batches: ReadBatch[] = []
  for (let at = 0; at < values.length; ) {
    const id = values[at] as number
    const count = values[at + 1] as number
    const start = at + 2
    at = endOf(values, start, count)
    batches.push({
      id,
      isScrub: count === SCRUB,
      forEach(apply) {
        for (let from = start, left = count; left > 0; left--) {
          const end = from + 3 + (values[from + 2] as number)
          apply(values[from] as number, values[from + 1] as string | null, values.slice(from + 3, end))
          from = end
        }
      },
    })
  }
  return batches
}

function endOf(values: readonly SqlValue[], start: number, count: number): number {
  let at = start
  for (let left = count; left > 0; left--) at += 3 + (values[at + 2] as number)
  return at
}
