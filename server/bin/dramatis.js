#!/usr/bin/env node
// JavaScript, because a Node.js that is too old would refuse TypeScript before it could say why.
const OLDEST_NODE = 24

if (Number.parseInt(process.versions.node, 10) < OLDEST_NODE) {
  process.stderr.write(
    `Dramatis needs Node.js ${OLDEST_NODE} or newer, and this is ${process.versions.node}: ` +
      'after "npm ci", "npm start" and "npx dramatis" use the one that comes with it.\n',
  )
  process.exitCode = 1
} else {
  const { keepCompiledCode } = await import('../src/compile-cache.js')
  keepCompiledCode()
  await import('../src/cli.ts')
}
