import { runCommandLine } from './cli/run.ts'

// Whoever reads may have seen enough, as "head" does.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  process.exit(0)
})

const { env, stdin, stdout, stderr } = process
const exitCode = await runCommandLine(process.argv.slice(2), { env, stdin, stdout, stderr })
// After a success the process ends by itself, a server when it is told to.
if (exitCode !== 0) process.exit(exitCode)
