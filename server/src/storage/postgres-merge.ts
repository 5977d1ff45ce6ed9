import type { SqlValue, Statement } from './database.ts'
import { GUARD_FUNCTION } from './postgres-migrate.ts'

/** What PostgreSQL is sent for one or more statements of a batch, and how their rows are counted. */
export type Query = {
  text: string
  values: readonly SqlValue[]
  /** The answer is one row with a count for each statement; else it is the number of rows itself. */
  hasCounts: boolean
}

/** The text of a run of statements, and where it may go on. */
type Node = { text: string; next: Map<Statement['sql'], Node> }

/**
 * Makes one statement of those of a batch that stand behind one another and are independent (`Statement.isIndependent`): each
 * becomes a part of a `with`, whose parts run in their order, because the counts that are selected are those of one after
 * the other. PostgreSQL takes half the time for a turn that way, since every statement costs it a message, a
 * portal and a snapshot, whatever it does.
 */
export function createMerger(): (batch: readonly Statement[]) => Query[] {
  const single = new Map<string, string>()
  const merged: Node = { text: '', next: new Map() }

  function toSingle(statement: Statement): Query {
    const { sql, parameters: values, guard } = statement
    if (guard === undefined) return { text: sql, values, hasCounts: false }
    const text = single.get(sql) ?? withText([statement])
    single.set(sql, text)
    return { text, values, hasCounts: true }
  }

  function toMerged(run: readonly Statement[]): Query {
    let node = merged
    for (const { sql } of run) {
      const next = node.next.get(sql) ?? { text: '', next: new Map() }
      node.next.set(sql, next)
      node = next
    }
    node.text ||= withText(run)
    return { text: node.text, values: run.flatMap(({ parameters }) => parameters), hasCounts: true }
  }

  return (batch) => {
    const queries: Query[] = []
    for (let at = 0; at < batch.length; ) {
      let end = at + 1
      if (batch[at]?.isIndependent) while (batch[end]?.isIndependent) end++
      const run = batch.slice(at, end)
      queries.push(run.length === 1 ? toSingle(run[0] as Statement) : toMerged(run))
      at = end
    }
    return queries
  }
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
