import type { SqlValue, Statement } from '../database.ts'
import { GUARD_FUNCTION } from './migrate.ts'

/** What PostgreSQL is sent for one or more statements of a batch, and how their rows are counted. */
export type Query = {
  text: string
  values: readonly SqlValue[]
  /** The answer is one row with a count for each statement; else it is the number of rows itself. */
  hasCounts: boolean
}

/**
 * Statements that are merged at most. Ending a turn takes five; a conversation may begin with thousands of messages, and
 * more than 1,664 counts in one answer are refused, and each length is a text of its own that is kept.
 */
const MOST_MERGED = 16

/** The text of a run of statements, and where it may go on: by guard and then by text. */
type Node = { text: string; next: Map<Statement['guard'], Map<Statement['sql'], Node>> }

/**
 * Makes one statement of those of a batch that stand behind one another and are independent (`Statement.isIndependent`): each
 * becomes a part of a `with`, whose parts run in their order, because the counts that are selected are those of one after
 * the other. PostgreSQL takes half the time for a turn that way, since every statement costs it a message, a
 * portal and a snapshot, whatever it does.
 */
export function createMerger(): (batch: readonly Statement[]) => Query[] {
  const beginning: Node = { text: '', next: new Map() }

  function merged(run: readonly Statement[]): Query {
    let node = beginning
    for (const statement of run) node = nodeBehind(node, statement)
    node.text ||= withText(run)
    return { text: node.text, values: run.flatMap(({ parameters }) => parameters), hasCounts: true }
  }

  return (batch) => {
    const queries: Query[] = []
    for (let at = 0; at < batch.length; ) {
      let end = at + 1
      if (batch[at]?.isIndependent) while (end - at < MOST_MERGED && batch[end]?.isIndependent) end++
      const run = batch.slice(at, end)
      queries.push(run.length === 1 && run[0]?.guard === undefined ? alone(run[0] as Statement) : merged(run))
      at = end
    }
    return queries
  }
}

function nodeBehind({ next }: Node, { guard, sql }: Statement): Node {
  const withGuard = next.get(guard) ?? new Map<Statement['sql'], Node>()
  const node = withGuard.get(sql) ?? { text: '', next: new Map() }
  next.set(guard, withGuard)
  withGuard.set(sql, node)
  return node
}

function alone({ sql: text, parameters: values }: Statement): Query {
  return { text, values, hasCounts: false }
}

/** Raises in the middle of the batch when a guarded statement touches no row: asking first would cost a round trip. */
function withText(run: readonly Statement[]): string {
  let used = 0
  const parts = run.map(({ sql, parameters }, i) => {
    const own = sql.replaceAll(/\$(\d+)/g, (_, number) => `$${Number(number) + used}`)
    used += parameters.length
    return `t${i} as (${own} returning 1)`
  })
  const counts = run.map(({ guard }, i) => {
    const count = `(select count(*) from t${i})`
    return `${guard === undefined ? count : `${GUARD_FUNCTION}(${count}, '${guard}')`} as c${i}`
  })
  return `with ${parts.join(', ')} select ${counts.join(', ')}`
}
