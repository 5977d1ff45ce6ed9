// JavaScript, because it runs before there is a cache: the first TypeScript that is not in it loads the compiler that
// strips types, and that alone is 60 ms and 13 MB.
import { enableCompileCache } from 'node:module'
import { join } from 'node:path'

/**
 * Keeps compiled code for the next start; only what is imported afterwards counts. It is kept with the packages and not
 * in Node's default folder, which other users of the machine can write to. Where nothing can be written, nothing is kept.
 */
export function keepCompiledCode() {
  enableCompileCache(join(import.meta.dirname, '../../node_modules/.cache/dramatis'))
}
