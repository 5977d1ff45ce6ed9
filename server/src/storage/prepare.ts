import { type Compilable, type CompiledQuery, type RawBuilder, sql } from 'kysely'
import type { Database, SqlValue, Statement } from './database.ts'
import type { Dialect } from './dialect.ts'
import type { QueryBuilder } from './schema.ts'

/** Stands in a compiled query for a value that is only known when it is used. */
class Placeholder {
  readonly name: string
  constructor(name: string) {
    this.name = name
  }
}

/** Names the values of a prepared query; the type says what they are. */
export type Parameters<P> = <K extends keyof P & string>(name: K) => P[K]

type Build<P, Q> = (builder: QueryBuilder, p: Parameters<P>, dialect: Dialect) => Q
type Template = { sql: string; parameters: readonly unknown[]; compiled: CompiledQuery }

// Building and compiling a query costs 4 to 40 µs, a turn needs about ten: each is compiled once per dialect.
function compileOnce<P, Q extends Compilable<unknown>>(build: Build<P, Q>): (dialect: Dialect) => Template {
  const templates = new Map<Dialect['name'], Template>()
  return (dialect) => {
    const known = templates.get(dialect.name)
    if (known) return known
    // The placeholder passes through the builder as an opaque value of the type it stands for.
    const placeholder = <K extends keyof P & string>(name: K) => new Placeholder(name) as unknown as P[K]
    const compiled = build(dialect.builder, placeholder, dialect).compile()
    const template = { sql: compiled.sql, parameters: compiled.parameters, compiled: compiled as CompiledQuery }
    templates.set(dialect.name, template)
    return template
  }
}

function fill<P>(parameters: readonly unknown[], values: P): SqlValue[] {
  const filled = new Array<SqlValue>(parameters.length)
  for (let i = 0; i < parameters.length; i++) {
    const parameter = parameters[i]
    filled[i] = (parameter instanceof Placeholder ? values[parameter.name as keyof P] : parameter) as SqlValue
  }
  return filled
}

/**
 * A write that is compiled once and filled in for each use.
 *
 * @example
 * const renamePersona = prepareWrite((db, p: Parameters<{ id: string; name: string }>) =>
 *   db.updateTable('persona').set({ name: p('name') }).where('id', '=', p('id')), { guard: 'persona_exists' })
 * await database.write([renamePersona(database, { id, name })])
 */
export function prepareWrite<P>(
  build: Build<P, Compilable<unknown>>,
  options: Pick<Statement, 'guard' | 'isIndependent'> = {},
): (database: Database, values: P) => Statement {
  const templateFor = compileOnce(build)
  return (database, values) => {
    const template = templateFor(database.dialect)
    return { sql: template.sql, parameters: fill(template.parameters, values), ...options }
  }
}

/** A read of few rows that is compiled once and filled in for each use. */
export function prepareRead<P, Row>(
  build: Build<P, Compilable<Row>>,
): (database: Pick<Database, 'dialect' | 'read'>, values: P) => Promise<Row[]> {
  const templateFor = compileOnce(build)
  return (database, values) => {
    const template = templateFor(database.dialect)
    return database.read<Row>({
      ...(template.compiled as CompiledQuery<Row>),
      parameters: fill(template.parameters, values),
    })
  }
}

/**
 * A value with the type of its column (`dialect.columnTypes`), for the list of an `insert … select`: there PostgreSQL
 * would take a parameter for text.
 */
export function asColumn<T>(value: T, type: string): RawBuilder<T> {
  return sql<T>`cast(${value} as ${sql.raw(type)})`
}
