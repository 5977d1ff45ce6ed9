import { createRequire, flushCompileCache } from 'node:module'
import { type MessagePort, parentPort } from 'node:worker_threads'
import type { Options, ValidateFunction } from 'ajv/dist/2020.js'

const require = createRequire(import.meta.url)

/** Schemas as texts, all of which are compiled; `value`, a text too, is checked against the last. */
export type SchemaJob = { schemas: readonly string[]; value?: string }
/** `wrong` is about the schema at that place of the job, `issues` are those of the value. */
export type SchemaOutcome = { wrong: { at: number; issue: string } | null; issues: string[] }
/** What the thread says: that it listens, which schema it is at, and what came of a job. */
export type ThreadMessage = 'ready' | { at: number } | SchemaOutcome

/** Compiled schemas that are kept for the next job; the oldest goes first. */
const MOST_KEPT = 100
/** Issues that are told, and UTF-16 units of each. */
const MOST_ISSUES = 5
const SHOWN_OF_ISSUE = 300

const SHARED: Options = { strict: false, logger: false, validateFormats: false }

/** The thread in which schemas from outside are compiled and run: whatever they do, they do it to nobody else. */
function serve(port: MessagePort): void {
  const { Ajv2020 } = require('ajv/dist/2020.js') as typeof import('ajv/dist/2020.js')
  const meta = new Ajv2020(SHARED)
  // Compiles the schema of schemas, which would count to the time of the first job.
  meta.validateSchema({})
  const kept = new Map<string, ValidateFunction>()

  function compiled(text: string): ValidateFunction {
    const known = kept.get(text)
    if (known) return known
    const schema = JSON.parse(text)
    if (!meta.validateSchema(schema)) throw new Error(describe(meta.errors)[0]?.trim())
    // One that is shared would keep every schema it has seen. Code that is not optimized is there in half the time. What is
    // referred to often must not be copied each time.
    const ajv = new Ajv2020({
      ...SHARED,
      allErrors: true,
      ownProperties: true,
      meta: false,
      validateSchema: false,
      inlineRefs: false,
      code: { optimize: false },
    })
    const validate = ajv.compile(schema)
    kept.set(text, validate)
    for (const oldest of kept.keys()) {
      if (kept.size <= MOST_KEPT) break
      kept.delete(oldest)
    }
    return validate
  }

  function run({ schemas, value }: SchemaJob): SchemaOutcome {
    let validate: ValidateFunction | undefined
    for (const [at, text] of schemas.entries()) {
      port.postMessage({ at } satisfies ThreadMessage)
      try {
        validate = compiled(text)
      } catch (error) {
        // The compiler recurses; what ends its stack refers to itself.
        const isEndless = error instanceof RangeError
        const reason = isEndless ? 'it has no end' : (error as Error).message.slice(0, SHOWN_OF_ISSUE)
        return { wrong: { at, issue: `is no valid JSON Schema: ${reason}` }, issues: [] }
      }
    }
    if (value === undefined || !validate) return { wrong: null, issues: [] }
    try {
      return { wrong: null, issues: validate(JSON.parse(value)) ? [] : describe(validate.errors) }
    } catch {
      // The same, where only running it shows.
      return { wrong: null, issues: [' cannot be checked'] }
    }
  }

  port.on('message', (job: SchemaJob) => port.postMessage(run(job) satisfies ThreadMessage))
  port.postMessage('ready' satisfies ThreadMessage)
}

/** Where something is and what is wrong with it: `/city must be string`, ` must be object` for the whole. */
function describe(errors: ValidateFunction['errors']): string[] {
  return (errors ?? [])
    .slice(0, MOST_ISSUES)
    .map(({ instancePath, message }) => `${instancePath} ${message}`.slice(0, SHOWN_OF_ISSUE))
}

if (parentPort) {
  serve(parentPort)
  // For the next start, should this process be killed.
  flushCompileCache()
}
