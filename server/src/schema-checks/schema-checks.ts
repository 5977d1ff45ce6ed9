import { AppError } from '../errors.ts'
import type { Path } from '../lib/fairness/fair-line.ts'
import { QueueFullError } from '../lib/fairness/fair-queue.ts'
import type { MainThread } from '../lib/fairness/main-thread.ts'
import { type JsonValue, jsonDepth } from '../lib/json.ts'
import type { SchemaThreadOptions } from './schema-threads.ts'

/**
 * Levels of a value, and UTF-16 units of it as JSON. It crosses to a thread as text, which takes a tenth of what a copy
 * takes. Making text of it is done by recursion, and reading a long one could take all memory before anything stops it.
 */
const MOST_LEVELS = 200
const MOST_OF_VALUE = 2_097_152

const TOO_LONG = 'takes too long to check'

/** What is wrong with a schema, and the path to it, such as `properties.city`; empty for the whole. */
export type WrongSchema = { path: string; issue: string }
export type SchemaChecks = ReturnType<typeof createSchemaChecks>

/**
 * Everything that is done with schemas from outside, which are data: they are read by the rules of `readOutsideSchema`,
 * and what comes of that is compiled and run in threads (`createSchemaThreads`), for a path: an organization and a key of
 * it. Nothing of it is loaded before the first schema.
 */
export function createSchemaChecks({ mainThread, ...options }: SchemaThreadOptions & { mainThread: MainThread }) {
  let loading: ReturnType<typeof load> | undefined
  let isClosed = false

  async function load() {
    const [{ createSchemaThreads }, { readOutsideSchema }, { SchemaRefused }] = await Promise.all([
      import('./schema-threads.ts'),
      import('./outside-schema.ts'),
      import('./schema-refused.ts'),
    ])
    return { threads: createSchemaThreads(options), readOutsideSchema, SchemaRefused }
  }

  function loaded() {
    if (isClosed) throw new AppError('unavailable', 'the server is stopping')
    loading ??= load()
    return loading
  }

  async function read(path: Path, schema: JsonValue): Promise<{ text: string } | { wrong: WrongSchema }> {
    const { readOutsideSchema, SchemaRefused } = await loaded()
    try {
      // The largest takes 15 ms, and there may be many: others come between.
      return { text: await mainThread.run(path, () => readOutsideSchema(schema)) }
    } catch (error) {
      if (error instanceof QueueFullError) throw new AppError('unavailable', 'too many schemas wait to be checked')
      if (!(error instanceof SchemaRefused)) throw error
      return { wrong: { path: error.path, issue: error.issue } }
    }
  }

  return {
    /** What can be seen to be wrong with a schema without compiling it; null if nothing. */
    async refusalOf(path: Path, schema: JsonValue): Promise<WrongSchema | null> {
      const found = await read(path, schema)
      return 'wrong' in found ? found.wrong : null
    },

    /** Compiles all. Null if they can be used, else which cannot and why. Throws 503 when too many wait. */
    async compile(path: Path, schemas: readonly JsonValue[]): Promise<(WrongSchema & { at: number }) | null> {
      const texts: string[] = []
      for (const [at, schema] of schemas.entries()) {
        const found = await read(path, schema)
        if ('wrong' in found) return { at, ...found.wrong }
        texts.push(found.text)
      }
      if (texts.length === 0) return null
      const { threads } = await loaded()
      const outcome = await threads.run(path, { schemas: texts })
      if ('stopped' in outcome) return { at: outcome.at, path: '', issue: TOO_LONG }
      return outcome.wrong && { path: '', ...outcome.wrong }
    },

    /**
     * What is wrong with a value, at most five issues, each with its place: `/city must be string`, ` must be object` for
     * the whole. That it cannot be checked is one too: a schema may be older than its rules, and too many may wait.
     */
    async issuesOf(path: Path, schema: JsonValue, value: JsonValue): Promise<string[]> {
      if (jsonDepth(value, MOST_LEVELS) > MOST_LEVELS) return [` has more than ${MOST_LEVELS} levels`]
      const text = JSON.stringify(value)
      if (text.length > MOST_OF_VALUE) return [` is larger than ${MOST_OF_VALUE} characters`]
      try {
        const found = await read(path, schema)
        if ('wrong' in found) return [` cannot be checked: in its schema, ${found.wrong.path} ${found.wrong.issue}`]
        const { threads } = await loaded()
        const outcome = await threads.run(path, { schemas: [found.text], value: text })
        if ('stopped' in outcome) return [` ${TOO_LONG}`]
        return outcome.wrong ? [` cannot be checked: its schema ${outcome.wrong.issue}`] : outcome.issues
      } catch (error) {
        if (error instanceof AppError) return [` cannot be checked: ${error.message}`]
        throw error
      }
    },

    /** Kills the threads. What waits fails. */
    async close(): Promise<void> {
      isClosed = true
      const { threads } = (await loading) ?? {}
      threads?.close()
    },
  }
}
