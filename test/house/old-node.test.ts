import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const ENTRY = join(import.meta.dirname, '../../server/bin/dramatis.js')

/** Runs the command on this Node.js, which says that it is `version`. */
function runAs(version: string) {
  const script = `Object.defineProperty(process.versions, 'node', { value: '${version}' }); await import('${ENTRY}')`
  const args = ['--input-type=module', '--eval', script, 'dramatis', '--version']
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' })
  return { status, stdout, stderr }
}

test.each(['9.0.0', '20.20.2', '23.11.1'])('Node.js %s is too old, in a sentence', (version) => {
  const { status, stdout, stderr } = runAs(version)
  expect([status, stdout]).toEqual([1, ''])
  expect(stderr).toMatch(new RegExp(`^Dramatis needs Node\\.js 24 or newer, and this is ${version}: .+\\.\n$`))
})

test.each(['24.0.0', '26.1.0-nightly'])('Node.js %s is good enough', (version) => {
  expect(runAs(version)).toMatchObject({ status: 0, stderr: '' })
})
