import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { validate } from 'dockerfile-utils'
import { expect, test } from 'vitest'
import { SERVER_VARIABLES } from '../../server/src/config/config-variables.ts'
import { PROVIDER_VARIABLES } from '../../server/src/models/providers/provider-variables.ts'

const ROOT = join(import.meta.dirname, '../..')
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8')

/** What others read, not we. */
const OTHERS = ['NODE_ENV', 'POSTGRES_USER', 'POSTGRES_DB', 'POSTGRES_PASSWORD']

test('the Dockerfile is one', () => {
  expect(validate(read('Dockerfile'))).toEqual([])
})

test('what the Dockerfile copies is there, and is let in', () => {
  const copied = [...read('Dockerfile').matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, files = '']) =>
    files.split(' '),
  )
  expect(copied.length).toBeGreaterThan(5)
  const allowed = [...read('.dockerignore').matchAll(/^!(.+)$/gm)].map(([, path = '']) => path)
  for (const path of copied) {
    expect(existsSync(join(ROOT, path)), path).toBe(true)
    expect(
      allowed.some((one) => path === one || path.startsWith(`${one}/`)),
      path,
    ).toBe(true)
  }
})

test('the compose file is one', () => {
  const linter = join(ROOT, 'node_modules/dclint/bin/dclint.cjs')
  const file = join(ROOT, 'deploy/compose.yaml')
  const { status, stdout, stderr } = spawnSync(process.execPath, [linter, '--max-warnings', '0', file], {
    encoding: 'utf8',
  })
  expect(status, stdout + stderr).toBe(0)
})

test('the systemd unit is one', (context) => {
  const version = spawnSync('systemd-analyze', ['--version'])
  if (version.error) {
    console.warn('the test of the systemd unit is SKIPPED: systemd-analyze is not installed')
    return context.skip()
  }
  const verified = spawnSync('systemd-analyze', ['verify', join(ROOT, 'deploy/dramatis.service')], { encoding: 'utf8' })
  // That nothing is installed in /opt/dramatis here is no fault of the unit.
  const faults = verified.stderr.split('\n').filter((line) => line !== '' && !/is not executable/.test(line))
  expect(faults).toEqual([])
})

test('the variables in these files exist', () => {
  const known = new Set([...SERVER_VARIABLES, ...PROVIDER_VARIABLES].map(({ name }) => name as string))
  const files = ['Dockerfile', 'deploy/compose.yaml', 'deploy/dramatis.service']
  const named = files.flatMap((file) => read(file).match(/\b(?:DRAMATIS|POSTGRES|NODE)_[A-Z_]+\b/g) ?? [])
  expect(named.filter((name) => !known.has(name) && !OTHERS.includes(name))).toEqual([])
})
