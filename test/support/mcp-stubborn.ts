import { execFileSync, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

/*
 * An MCP server over standard input and output that does what it should not: it does not go when its input ends or when
 * it is asked to, starts a process that does not go either and one that leaves its group, whose own child outlives it, and
 * writes without an end when it is told to.
 */

process.on('SIGTERM', () => {})
setInterval(() => {}, 1_000)
const script = `process.on('SIGTERM', () => {}); setInterval(() => {}, 1_000)`
const child = spawn(process.execPath, ['-e', script], { stdio: 'inherit' })
// It leads a session of its own (`setsid`), and by the time that it is looked for its parent has gone.
const between = `
  const { pid } = require('node:child_process').spawn(process.execPath, ['-e', ${JSON.stringify(script)}], {
    detached: true, stdio: 'ignore',
  })
  console.log(pid)
  process.exit()`
const left = Number(execFileSync(process.execPath, ['-e', between], { encoding: 'utf8' }))

const say = (id: unknown, result: unknown) =>
  process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', id, result })}\n`)
const tools = ['pids', 'flood'].map((name) => ({ name, inputSchema: { type: 'object' } }))

createInterface({ input: process.stdin }).on('line', (line) => {
  const { id, method, params } = JSON.parse(line) as {
    id?: number
    method: string
    params?: { protocolVersion?: string; name?: string }
  }
  if (method === 'initialize') {
    const serverInfo = { name: 'stubborn', version: '1' }
    say(id, { protocolVersion: params?.protocolVersion, capabilities: { tools: {} }, serverInfo })
  } else if (method === 'tools/list') say(id, { tools })
  else if (params?.name === 'pids') {
    say(id, { content: [{ type: 'text', text: JSON.stringify([process.pid, child.pid, left]) }] })
  } else if (params?.name === 'flood') {
    const flood = () => {
      while (process.stdout.write('x'.repeat(65_536)));
      process.stdout.once('drain', flood)
    }
    flood()
  }
})
