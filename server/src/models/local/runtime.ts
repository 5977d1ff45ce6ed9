import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'

/** The version that this was written for and is tested with. */
export const RUNTIME_VERSION = '3.21.1'
const RUNTIME_MAJOR = 3

/** How to get it, as the end of a sentence. */
export const HOW_TO_INSTALL = `install it with "npm install --no-save --ignore-scripts node-llama-cpp@${RUNTIME_VERSION}", or name a folder that has it in DRAMATIS_LOCAL_RUNTIME`

/** What we use of https://node-llama-cpp.withcat.ai/api; the package itself is not there when types are checked. */
export type LlamaModule = {
  getLlama(options: { build: 'never'; progressLogs: false; logLevel: 'error' }): Promise<Llama>
  LlamaChat: new (options: { contextSequence: LlamaSequence }) => LlamaChat
}

export type Llama = {
  loadModel(options: { modelPath: string; loadSignal?: AbortSignal }): Promise<LlamaModel>
  getGrammarFor(type: 'json'): Promise<LlamaGrammar>
  createGrammarForJsonSchema(schema: unknown): Promise<LlamaGrammar>
  dispose(): Promise<void>
}

export type LlamaModel = {
  readonly trainContextSize: number
  readonly tokenizer: unknown
  createContext(options: { sequences: 1; contextSize: number; threads: number }): Promise<LlamaContext>
  dispose(): Promise<void>
}

export type LlamaContext = { readonly contextSize: number; getSequence(): LlamaSequence; dispose(): Promise<void> }

export type LlamaGrammar = { readonly trimWhitespaceSuffix?: boolean }

type TokenCounts = { usedInputTokens: number; usedOutputTokens: number }
export type LlamaSequence = {
  readonly tokenMeter: { getState(): TokenCounts; diff(since: TokenCounts): TokenCounts }
}

export type LlamaFunctionCall = { type: 'functionCall'; name: string; params: unknown; result: unknown }
export type LlamaChatItem =
  | { type: 'system'; text: string }
  | { type: 'user'; text: string }
  | { type: 'model'; response: (string | LlamaFunctionCall)[] }

export type LlamaChatOptions = {
  signal: AbortSignal
  /** A chunk with a `type` is no part of the answer, such as a thought. */
  onResponseChunk(chunk: { type?: string | undefined; text: string }): void
  maxTokens: number
  temperature: number
  topP: number
  topK: number
  seed?: number
  customStopTriggers: string[]
  repeatPenalty?: { penalty: number; frequencyPenalty: number; presencePenalty: number }
  grammar?: LlamaGrammar
  /** What happens when the context is full. */
  contextShift: { size: number }
}

export type LlamaChat = {
  readonly chatWrapper: {
    generateContextState(options: { chatHistory: LlamaChatItem[] }): {
      contextText: { tokenize(tokenizer: unknown): unknown[] }
    }
  }
  generateResponse(
    history: LlamaChatItem[],
    options: LlamaChatOptions,
  ): Promise<{
    metadata: {
      stopReason: 'eogToken' | 'stopGenerationTrigger' | 'functionCalls' | 'maxTokens' | 'abort' | 'customStopTrigger'
    }
  }>
  dispose(): void
}

export type FoundRuntime = { ok: true; entry: string; version: string } | ({ ok: false } & Obstacle)

/** What is in the way, as sentences without their full stops: for callers, and for an operator, with the folder. */
export type Obstacle = { why: string; whyInside: string }

/** Where the package is, without loading it: in `folder`, or, for null, among the packages of the server. */
export function findRuntime(folder: string | null): FoundRuntime {
  const place = folder === null ? above(import.meta.dirname) : [folder]
  const found = place
    .map((one) => join(one, 'node_modules/node-llama-cpp'))
    .find((one) => existsSync(join(one, 'package.json')))
  if (found === undefined) {
    const where = folder === null ? '' : ` in ${folder}`
    const missing = 'The package node-llama-cpp is not installed'
    return { ok: false, why: `${missing}: ${HOW_TO_INSTALL}`, whyInside: `${missing}${where}: ${HOW_TO_INSTALL}` }
  }
  const { version } = JSON.parse(readFileSync(join(found, 'package.json'), 'utf8')) as { version: string }
  if (Number.parseInt(version, 10) !== RUNTIME_MAJOR) {
    const why = `The package node-llama-cpp is there in version ${version}: ${HOW_TO_INSTALL}`
    return { ok: false, why, whyInside: why }
  }
  return { ok: true, entry: join(found, 'dist/index.js'), version }
}

/** What is in the way of every local model; null when nothing is. */
export function findObstacle(folder: string | null): Obstacle | null {
  const runtime = findRuntime(folder)
  return runtime.ok ? null : runtime
}

/** Loads it and its binary, which takes about half a second. It never compiles or downloads anything. */
export async function loadRuntime(entry: string): Promise<{ module: LlamaModule; llama: Llama }> {
  const module = (await import(pathToFileURL(entry).href)) as LlamaModule
  return { module, llama: await module.getLlama({ build: 'never', progressLogs: false, logLevel: 'error' }) }
}

function above(folder: string): string[] {
  const parent = dirname(folder)
  return parent === folder ? [folder] : [folder, ...above(parent)]
}
