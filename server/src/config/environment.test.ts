import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ConfigError } from './config-error.ts'
import { readEnvironment, SECRET_VARIABLES } from './environment.ts'

let directory = ''
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'dramatis-environment-'))
})
afterEach(() => rmSync(directory, { recursive: true }))

function file(name: string, text: string): string {
  const path = join(directory, name)
  writeFileSync(path, text)
  return path
}

test('without any file the variables are those of the process', () => {
  expect(readEnvironment({ PORT: '1', HOST: undefined }, directory)).toEqual({ PORT: '1', HOST: undefined })
})

test('.env stands behind the variables of the process', () => {
  file('.env', '# a comment\nPORT=9000\nexport HOST="0.0.0.0"\nDRAMATIS_API_KEY=\'with a # in it\'\n')
  expect(readEnvironment({ PORT: '1' }, directory)).toEqual({
    PORT: '1',
    HOST: '0.0.0.0',
    DRAMATIS_API_KEY: 'with a # in it',
  })
})

test('a secret may stand in a file, whose name may stand in .env', () => {
  const key = file('key', '  a secret\n')
  file('.env', `OPENAI_API_KEY_FILE=${key}\n`)
  expect(readEnvironment({ DRAMATIS_DATABASE_URL_FILE: key }, directory)).toEqual({
    OPENAI_API_KEY: 'a secret',
    DRAMATIS_DATABASE_URL: 'a secret',
  })
})

test('reading again what was read changes nothing', () => {
  file('.env', `OPENAI_API_KEY_FILE=${file('key', 'y')}\n`)
  const once = readEnvironment({ HF_TOKEN_FILE: file('token', 'x') }, directory)
  expect(readEnvironment(once, directory)).toEqual(once)
})

test('every secret can be kept in a file, and nothing else', () => {
  expect(SECRET_VARIABLES).toEqual(
    expect.arrayContaining(['DRAMATIS_API_KEY', 'DRAMATIS_SECRET_KEY', 'DRAMATIS_DATABASE_URL', 'OPENAI_API_KEY']),
  )
  const plain = { DRAMATIS_LOG_LEVEL_FILE: file('level', 'debug') }
  expect(readEnvironment(plain, directory)).toEqual(plain)
})

test('what is wrong is said in a sentence for each variable', () => {
  const missing = { OPENAI_API_KEY_FILE: join(directory, 'none'), HF_TOKEN: 'x', HF_TOKEN_FILE: file('token', 'y') }
  const read = () => readEnvironment(missing, directory)
  expect(read).toThrow(ConfigError)
  expect(read).toThrow(/^OPENAI_API_KEY_FILE names a file that cannot be read: ENOENT.*\nHF_TOKEN and HF_TOKEN_FILE/)
})
