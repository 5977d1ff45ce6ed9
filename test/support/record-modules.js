// Preloaded into a server as `--import file:///…/record-modules.js?to=FOLDER`: each of its threads writes down what it
// has loaded when it ends. JavaScript, because TypeScript would load what some of the tests look for.
import { writeFileSync } from 'node:fs'
import { registerHooks } from 'node:module'
import { join } from 'node:path'
import { threadId } from 'node:worker_threads'

const folder = new URL(import.meta.url).searchParams.get('to') ?? ''
const modules = new Set()

registerHooks({
  resolve(specifier, context, next) {
    const resolved = next(specifier, context)
    modules.add(resolved.url)
    return resolved
  },
})

process.on('exit', () => {
  const loaded = { modules: [...modules], builtins: process.moduleLoadList }
  writeFileSync(join(folder, `${threadId}.json`), JSON.stringify(loaded))
})
