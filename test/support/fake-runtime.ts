import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/**
 * Puts a package into `folder` that looks like `node-llama-cpp` from where we stand. Its models say "one two three ",
 * word by word, as `globalThis.fakeRuntime` lets them.
 */
export function installFakeRuntime(folder: string, version = '3.99.0'): void {
  const place = join(folder, 'node_modules/node-llama-cpp')
  mkdirSync(join(place, 'dist'), { recursive: true })
  writeFileSync(join(place, 'package.json'), JSON.stringify({ name: 'node-llama-cpp', version, type: 'module' }))
  writeFileSync(join(place, 'dist/index.js'), SOURCE)
}

/** What the tests and the package share. */
export type FakeRuntime = {
  /** `load <file>`, `dispose <file>`, `dispose llama`. */
  events: string[]
  /** Each word waits for it. */
  beforeWord(): Promise<unknown>
  /** What the next loads throw, in order. */
  loadErrors: Error[]
}

const SOURCE = `
const shared = () => globalThis.fakeRuntime
export async function getLlama() {
  return {
    async loadModel({ modelPath }) {
      const error = shared().loadErrors.shift()
      if (error) throw error
      shared().events.push('load ' + modelPath)
      return {
        trainContextSize: 100,
        tokenizer: null,
        async createContext({ contextSize }) {
          let output = 0
          const tokenMeter = {
            getState: () => output,
            diff: (before) => ({ usedInputTokens: 0, usedOutputTokens: output - before }),
            count: () => { output += 1 },
          }
          return { contextSize, getSequence: () => ({ tokenMeter }), async dispose() {} }
        },
        async dispose() { shared().events.push('dispose ' + modelPath) },
      }
    },
    async dispose() { shared().events.push('dispose llama') },
  }
}
export class LlamaChat {
  constructor({ contextSequence }) { this.sequence = contextSequence }
  chatWrapper = {
    generateContextState: ({ chatHistory }) => ({
      contextText: { tokenize: () => chatHistory.map((item) => item.text ?? '').join(' ').split(' ').filter(Boolean) },
    }),
  }
  async generateResponse(history, { signal, maxTokens, onResponseChunk }) {
    let n = 0
    for (const word of ['one ', 'two ', 'three ']) {
      await shared().beforeWord()
      signal.throwIfAborted()
      if (n++ >= maxTokens) return { metadata: { stopReason: 'maxTokens' } }
      this.sequence.tokenMeter.count()
      onResponseChunk({ text: word })
    }
    return { metadata: { stopReason: 'eogToken' } }
  }
  dispose() {}
}
`
