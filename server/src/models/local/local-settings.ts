import { availableParallelism } from 'node:os'
import { basename, join, resolve } from 'node:path'

/** Where a model comes from. `id` is the name that callers use: no path of this machine shows in it. */
export type LocalSource = Readonly<
  | { kind: 'file'; id: string; path: string }
  /** `tag` is a quantization such as `Q4_K_M`, or the name of a file; null is the usual one. */
  | { kind: 'hub'; id: string; owner: string; repo: string; tag: string | null }
>

export type LocalSettings = Readonly<{
  /** What may be used, the default first. Callers choose models, so nothing else is opened or downloaded. */
  sources: readonly LocalSource[]
  /** Folder for what is downloaded. */
  directory: string
  /** Folder that `node-llama-cpp` is installed in; null for the packages of the server. */
  runtime: string | null
  /** Tokens, prompt and reply together. */
  contextSize: number
  /** Of the processor, for each model that is at work. */
  threads: number
  /** Generations of one model that may wait for the one that runs. */
  queue: number
  /** Milliseconds after which a model that nobody uses leaves the memory. */
  idleMs: number
  hubUrl: string
  hubToken: string | null
}>

type Name = `DRAMATIS_LOCAL_${'MODELS' | 'RUNTIME' | 'CONTEXT' | 'THREADS' | 'QUEUE' | 'IDLE_MS'}` | 'HF_TOKEN'

/** Throws an Error that names the variable when a value cannot be right. */
export function readLocalSettings(
  get: (name: Name) => string | null,
  hubUrl: string,
  dataDirectory: string,
): LocalSettings {
  const integer = (name: Name, fallback: number, least: number, most: number) =>
    readInteger(name, get(name), fallback, least, most)
  const runtime = get('DRAMATIS_LOCAL_RUNTIME')
  return Object.freeze({
    sources: readSources(get('DRAMATIS_LOCAL_MODELS') ?? ''),
    directory: join(resolve(dataDirectory), 'models'),
    runtime: runtime === null ? null : resolve(runtime),
    contextSize: integer('DRAMATIS_LOCAL_CONTEXT', 8_192, 512, 10_000_000),
    // They wait for each other in a loop: one that has to share its core with the server holds up all of them.
    threads: integer('DRAMATIS_LOCAL_THREADS', Math.max(1, availableParallelism() - 1), 1, 1_024),
    queue: integer('DRAMATIS_LOCAL_QUEUE', 8, 0, 10_000),
    idleMs: integer('DRAMATIS_LOCAL_IDLE_MS', 300_000, 1_000, 2_147_483_647),
    hubUrl,
    hubToken: get('HF_TOKEN'),
  })
}

function readSources(value: string): readonly LocalSource[] {
  const sources = value
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')
    .map(parseLocalSource)
  const twice = sources.find(({ id }, i) => sources.findIndex((other) => other.id === id) !== i)
  if (twice) throw new Error(`DRAMATIS_LOCAL_MODELS has two models with the name "${twice.id}".`)
  return Object.freeze(sources)
}

/** `hf:owner/repo`, `hf:owner/repo:tag`, or the path of a GGUF file. Throws an Error that names the variable. */
export function parseLocalSource(text: string): LocalSource {
  if (!text.startsWith('hf:')) {
    if (!text.toLowerCase().endsWith('.gguf')) {
      throw new Error(`DRAMATIS_LOCAL_MODELS holds "${text}", which is neither hf:owner/repo nor a file.gguf.`)
    }
    return Object.freeze({ kind: 'file', id: basename(text), path: resolve(text) })
  }
  // Each part becomes the name of a folder or a file: a dot at its beginning could lead somewhere else.
  const match = /^hf:([\w-][\w.-]*)\/([\w-][\w.-]*)(?::([\w-][\w.-]*))?$/.exec(text)
  const [, owner, repo, tag = null] = match ?? []
  if (owner === undefined || repo === undefined) {
    throw new Error(`DRAMATIS_LOCAL_MODELS holds "${text}", which is not of the form hf:owner/repo:quantization.`)
  }
  return Object.freeze({ kind: 'hub', id: text, owner, repo, tag })
}

function readInteger(name: string, value: string | null, fallback: number, least: number, most: number): number {
  if (value === null) return fallback
  const number = Number(value)
  if (/^\d+$/.test(value) && number >= least && number <= most) return number
  throw new Error(`${name} must be a whole number from ${least} to ${most}, and is "${value}".`)
}
