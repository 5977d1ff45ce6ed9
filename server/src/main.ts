import { keepCompiledCode } from './compile-cache.js'

keepCompiledCode()
const { runServer } = await import('./serve.ts')
await runServer(process.env)
