import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { readConfig } from './config.ts'
import { ConfigError } from './config-error.ts'

test('has defaults for everything', () => {
  const { config, warnings } = readConfig({})
  expect(config).toMatchObject({
    host: '127.0.0.1',
    port: 8787,
    logLevel: 'info',
    apiKey: null,
    corsOrigins: [],
    tls: null,
    limits: { requestsPerMinute: 0, runningTurnsPerKey: 200, runningTurns: 2_000, shedDelayMs: 1_000 },
  })
  expect(config.database).toMatchObject({ kind: 'sqlite', file: expect.stringMatching(/data\/dramatis\.db$/) })
  expect(warnings).toEqual([])
})

test('names every variable that is wrong, in one go', () => {
  const read = () =>
    readConfig({
      PORT: '80x',
      DRAMATIS_API_KEY: 'short',
      DRAMATIS_LOG_LEVEL: 'loud',
      DRAMATIS_CORS_ORIGINS: 'example.com',
      DRAMATIS_TLS_CERT: '/nowhere.pem',
      DRAMATIS_DATABASE_URL: 'mysql://x',
      DRAMATIS_SHUTDOWN_GRACE_MS: '-1',
      DRAMATIS_METRICS_PUBLIC: 'yes',
      DRAMATIS_REQUESTS_PER_MINUTE: '-1',
      DRAMATIS_RUNNING_TURNS_PER_KEY: '0',
      DRAMATIS_RUNNING_TURNS: 'many',
      DRAMATIS_SHED_DELAY_MS: '1s',
      OPENAI_BASE_URL: 'not a url',
    })
  expect(read).toThrow(ConfigError)
  const names = ['PORT', 'DRAMATIS_API_KEY', 'DRAMATIS_LOG_LEVEL', 'DRAMATIS_CORS_ORIGINS', 'DRAMATIS_TLS_KEY']
  const limits = ['REQUESTS_PER_MINUTE', 'RUNNING_TURNS_PER_KEY', 'RUNNING_TURNS ', 'SHED_DELAY_MS']
  for (const name of limits) expect(read).toThrow(`DRAMATIS_${name}`)
  for (const name of [...names, 'DRAMATIS_DATABASE_URL', 'DRAMATIS_METRICS_PUBLIC', 'OPENAI_BASE_URL']) {
    expect(read).toThrow(name)
  }
})

test('never shows a key in what it says', () => {
  expect(() => readConfig({ DRAMATIS_API_KEY: 'hunter2' })).not.toThrow('hunter2')
})

test('warns of a variable that nobody knows', () => {
  expect(readConfig({ DRAMATIS_PROT: '1' }).warnings).toEqual(['DRAMATIS_PROT is set, and nothing here knows it.'])
})

test('counts an empty variable as unset', () => {
  expect(readConfig({ PORT: '', DRAMATIS_API_KEY: ' ' }).config).toMatchObject({ port: 8787, apiKey: null })
})

test.each([
  ['postgres://u:p@h/d', { kind: 'postgres', url: 'postgres://u:p@h/d' }],
  ['file:/tmp/a b.db', { kind: 'sqlite', file: '/tmp/a b.db' }],
  ['file:///tmp/a.db', { kind: 'sqlite', file: '/tmp/a.db' }],
])('takes %s as a database', (url, location) => {
  expect(readConfig({ DRAMATIS_DATABASE_URL: url }).config.database).toEqual(location)
})

describe('commands of MCP servers', () => {
  const read = (value: string) => readConfig({ DRAMATIS_MCP_COMMANDS: value }).config.tools.mcpPresets
  const files = { command: '/usr/bin/mcp-files', args: ['/srv/docs'], env: { MODE: 'read' }, cwd: '/srv' }

  test('are read from JSON, from a file, and in the form of other programs', () => {
    const folder = mkdtempSync(join(tmpdir(), 'dramatis-test-'))
    const file = join(folder, 'mcp.json')
    writeFileSync(file, JSON.stringify({ mcpServers: { files: { type: 'stdio', ...files } } }))
    for (const value of [JSON.stringify({ files }), file]) expect(read(value)).toEqual(new Map([['files', files]]))
    expect(read('{"a":{"command":"a"}}').get('a')).toEqual({ command: 'a', args: [], env: {}, cwd: null })
    expect(read('')).toEqual(new Map())
    rmSync(folder, { recursive: true })
  })

  test.each(['node,npx', '*', 'node', process.execPath, '["node"]', '{', '{"mcpServers":', '/nowhere.json', tmpdir()])(
    'cannot be %s any more, and the sentence says how to write them',
    (value) => {
      expect(() => read(value)).toThrow(ConfigError)
      expect(() => read(value)).toThrow(
        /^DRAMATIS_MCP_COMMANDS .*a list of commands does not do any more.*\{"files": \{"command"/,
      )
    },
  )

  test.each([
    ['{"a b":{"command":"x"}}', 'must be called by'],
    ['{"a":"node"}', 'must be an object'],
    ['{"a":{"url":"https://x"}}', 'needs a command'],
    ['{"a":{"command":""}}', 'needs a command'],
    ['{"a":{"command":"x","args":"y"}}', 'needs args'],
    ['{"a":{"command":"x","args":[1]}}', 'needs args'],
    ['{"a":{"command":"x","env":{"B":1}}}', 'needs an env'],
    ['{"a":{"command":"x","env":{"B=":"1"}}}', 'needs an env'],
    ['{"a":{"command":"x","cwd":1}}', 'needs a cwd'],
  ])('are refused as %s', (value, sentence) => {
    expect(() => read(value)).toThrow(/^DRAMATIS_MCP_COMMANDS: the preset "/)
    expect(() => read(value)).toThrow(sentence)
  })
})

test('reads how PostgreSQL is used', () => {
  const env = {
    DRAMATIS_DATABASE_URL: 'postgres://u:p@a:1,b:2/d',
    DRAMATIS_DATABASE_POOL: '4',
    DRAMATIS_DATABASE_PREPARED: '0',
    PGSSLMODE: 'require',
  }
  const url = 'postgres://u:p@a:1,b:2/d?sslmode=require'
  expect(readConfig(env).config.database).toEqual({ kind: 'postgres', url, pool: 4, prepared: false })
  for (const [name, value] of [
    ['DRAMATIS_DATABASE_POOL', '1'],
    ['DRAMATIS_DATABASE_PREPARED', 'no'],
    ['PGSSLROOTCERT', '/no/such/file'],
  ] as const) {
    expect(() => readConfig({ ...env, [name]: value })).toThrow(name === 'PGSSLROOTCERT' ? 'sslrootcert' : name)
  }
})
