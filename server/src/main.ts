import { keepCompiledCode } from './compile-cache.ts'

keepCompiledCode()
const { runServer } = await import('./serve.ts')
await runServer(process.env)
