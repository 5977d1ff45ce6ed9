import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { VERSION } from '../../server/src/app.ts'
import { ADMIN_KEY } from '../support/app.ts'
import { databaseKinds, onEveryDatabase, type TestDatabase } from '../support/databases.ts'
import { environmentOf, runCli, type ServerProcess, startCli, startServer } from '../support/process.ts'

const sqlite = databaseKinds[0] as (typeof databaseKinds)[number]
const UUID = /[0-9a-f]{8}-[0-9a-f-]{27}/

onEveryDatabase('the command line beside a server', (kind) => {
  let place: TestDatabase
  let server: ServerProcess
  let env: Record<string, string>

  beforeAll(async () => {
    place = await kind.create()
    server = await startServer(place)
    env = environmentOf(place)
  })
  afterAll(async () => {
    server.kill('SIGTERM')
    await server.ended
    await place.remove()
  })

  const statusWith = async (key: string, method = 'GET', path = '/personas') =>
    (await server.call(method, path, undefined, key)).status

  test('makes, lists and revokes a key that counts at once', async () => {
    const created = await runCli(['keys', 'create', 'for the test', '--scopes', 'personas:read'], env)
    expect(created).toMatchObject({ code: 0, stdout: expect.stringMatching(/^dram_\S{43}\n$/) })
    const key = created.stdout.trim()
    expect(created.stderr).not.toContain(key)
    expect(await statusWith(key)).toBe(200)
    expect(await statusWith(key, 'GET', '/conversations')).toBe(403)

    const listed = await runCli(['keys', 'list'], env)
    expect(listed.stdout).toMatch(new RegExp(`${key.slice(0, 10)}\\s+valid\\s+for the test\\s+personas:read`))
    expect(listed.stdout).not.toContain(key)

    expect(await runCli(['keys', 'revoke', key.slice(0, 10)], env)).toMatchObject({ code: 0, stderr: '' })
    expect(await statusWith(key)).toBe(401)
    expect((await runCli(['keys', 'list'], env)).stdout).toMatch(new RegExp(`${key.slice(0, 10)}\\s+revoked`))
    expect((await runCli(['keys', 'revoke', key.slice(0, 10)], env)).stdout).toMatch(/revoked already/)
  })

  test('puts a new key in the place of one, which ends at once or later', async () => {
    const options = ['--scopes', 'personas:read', '--daily-tokens', '9000', '--expires', '2d']
    const first = (await runCli(['keys', 'create', 'turning', ...options], env)).stdout.trim()
    const rotated = await runCli(['keys', 'rotate', first.slice(0, 10), '--grace', '24h'], env)
    expect(rotated).toMatchObject({ code: 0, stdout: expect.stringMatching(/^dram_\S{43}\n$/) })
    const second = rotated.stdout.trim()
    expect(second).not.toBe(first)
    expect(rotated.stderr).toMatch(/^Key \S+ takes the place of dram_\S+ \(turning, \S+\), which ends at \S+ \S+Z\./)
    expect(rotated.stderr).not.toContain(second)
    expect([await statusWith(first), await statusWith(second)]).toEqual([200, 200])
    type Listed = { prefix: string; scopes: string[]; dailyTokens: number; expiresAt: string }
    const keys: Listed[] = JSON.parse((await runCli(['keys', 'list', '--json'], env)).stdout)
    const [old, young] = [first, second].map((key) => keys.find(({ prefix }) => prefix === key.slice(0, 10)))
    expect(young).toMatchObject({ scopes: ['personas:read'], dailyTokens: 9_000, tokensUsedToday: 0 })
    const later = Date.parse(young?.expiresAt ?? '') - Date.parse(old?.expiresAt ?? '')
    expect(later).toBeGreaterThan(82_800_000)
    expect(later).toBeLessThan(90_000_000)
    expect((await runCli(['keys', 'list'], env)).stdout).toMatch(
      /TOKENS TODAY[\s\S]*turning\s+personas:read\s+0 of 9000/,
    )

    const third = (await runCli(['keys', 'rotate', second.slice(0, 10)], env)).stdout.trim()
    expect([await statusWith(first), await statusWith(second), await statusWith(third)]).toEqual([200, 401, 200])
    expect(await runCli(['keys', 'rotate', second.slice(0, 10)], env)).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(/^dramatis keys rotate: .*is not valid any more/),
    })
  })

  test('gives a key everything but administration, and an end', async () => {
    const created = await runCli(['keys', 'create', 'plain', '--expires', '1d'], env)
    const key = created.stdout.trim()
    expect(await statusWith(key)).toBe(200)
    expect(await statusWith(key, 'GET', '/api-keys')).toBe(403)
    const all = await runCli(['keys', 'create', 'admin', '--scopes', 'all'], env)
    const answer = await server.call('GET', '/api-keys', undefined, all.stdout.trim())
    const keys = (answer.body as { data: { prefix: string; expiresAt: string | null }[] }).data
    const expiresAt = keys.find(({ prefix }) => prefix === key.slice(0, 10))?.expiresAt ?? ''
    expect(Date.parse(expiresAt) - Date.now()).toBeGreaterThan(86_000_000)
    expect(Date.parse(expiresAt) - Date.now()).toBeLessThanOrEqual(86_400_000)
  })

  test('makes an organization of its own that can be used at once', async () => {
    const created = await runCli(['organizations', 'create', 'Another one'], env)
    const [, id = '', key = ''] = /^id {3}(\S+)\nkey {2}(\S+)\n$/.exec(created.stdout) ?? []
    expect(id).toMatch(UUID)
    const answer = await server.call('GET', '/personas', undefined, key)
    expect((answer.body as { data: unknown[] }).data).toHaveLength(3)
    expect((await runCli(['organizations', 'list'], env)).stdout).toMatch(new RegExp(`${id}\\s+Another one`))

    const inside = await runCli(['keys', 'create', 'inside', '--organization', id, '--scopes', 'personas:write'], env)
    const persona = { personaName: 'Only here', personaDescription: 'x', aiSystem: 'rehearsal', model: 'rehearsal' }
    expect((await server.call('POST', '/personas', persona, inside.stdout.trim())).status).toBe(200)
    expect((await runCli(['personas', 'list', '--organization', id], env)).stdout).toContain('Only here')
    expect((await runCli(['personas', 'list'], env)).stdout).not.toContain('Only here')
    expect((await runCli(['keys', 'list', '--organization', id], env)).stdout).not.toContain('bootstrap')
  })

  test('lists for programs what it lists for people', async () => {
    await runCli(['keys', 'create', 'tidy \u009b2J\u001b[2Jname', '--scopes', 'reports:read'], env)
    const keys = await runCli(['keys', 'list', '--json'], env)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not get through
    expect(keys.stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/)
    expect(JSON.parse(keys.stdout)).toContainEqual({
      id: expect.stringMatching(UUID),
      name: 'tidy \u009b2J\u001b[2Jname',
      prefix: expect.stringMatching(/^dram_\S{5}$/),
      status: 'valid',
      scopes: ['reports:read'],
      organizationId: expect.stringMatching(UUID),
      dailyTokens: null,
      tokensUsedToday: null,
      createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      expiresAt: null,
      revokedAt: null,
      lastUsedAt: null,
    })
    expect((await runCli(['keys', 'list'], env)).stdout).toContain('tidy 2J[2Jname')
    const organizations = JSON.parse((await runCli(['organizations', 'list', '--json'], env)).stdout)
    expect(organizations[0]).toEqual({ id: expect.stringMatching(UUID), name: 'Default' })
    const personas = JSON.parse((await runCli(['personas', 'list', '--json'], env)).stdout)
    expect(personas.map(({ name }: { name: string }) => name).toSorted()).toEqual([
      'Interviewer',
      'Support agent',
      'Tutor',
    ])
  })

  test('refuses what is not there, in a sentence', async () => {
    const nobody = await runCli(['keys', 'create', 'x', '--organization', 'nobody'], env)
    expect(nobody).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(/^dramatis keys create: .*"nobody".*\n$/),
    })
    const secret = `dram_${'s'.repeat(43)}`
    const unknown = await runCli(['keys', 'revoke', secret], env)
    expect(unknown).toMatchObject({ code: 1, stderr: expect.stringMatching(/^dramatis keys revoke: no key .*\n$/) })
    expect(unknown.stderr).not.toContain(secret)
  })
})

describe('usage', () => {
  test.each([
    [['frobnicate'], /^dramatis: there is no command "frobnicate"/],
    [['\u001b[2Jfrob'], /^dramatis: there is no command "\[2Jfrob"/],
    [['--frobnicate'], /^dramatis: there is no option "--frobnicate"/],
    [['keys', 'list', '--json=yes'], /'--json' does not take an argument/],
    [['keys'], /^dramatis keys: say which one: keys create, keys list, keys rotate, keys revoke/],
    [['keys', 'eat'], /"keys eat"/],
    [['keys', 'rotate', 'x', '--grace', 'soon'], /--grace must be a time such as 30m, 24h or 7d, .*"soon"/],
    [['keys', 'rotate', 'x', '--grace', '91d'], /at most 90d, and is "91d"/],
    [['keys', 'create'], /NAME is missing/],
    [['keys', 'create', 'a', 'b'], /"b" is one word too many/],
    [['keys', 'create', 'a', '--scopes', 'personas:fly'], /"personas:fly" is no scope/],
    [['keys', 'create', 'a', '--expires', '2020-01-01'], /in the future/],
    [['keys', 'create', 'a', '--expires', '2027-02-30'], /--expires must be a date/],
    [['keys', 'create', ' '], /NAME must not be empty/],
    [['backup'], /FILE is missing/],
    [['backup', 'x', '--frce'], /unknown option '--frce'/],
    [['chat', '--set', 'novalue'], /--set takes NAME=VALUE/],
  ])('refuses %j with one sentence and 2', async (args, sentence) => {
    const outcome = await runCli(args, { DRAMATIS_API_KEY: ADMIN_KEY })
    expect(outcome).toMatchObject({ code: 2, stdout: '', stderr: expect.stringMatching(/^[^\n]+\n$/) })
    expect(outcome.stderr).toMatch(sentence)
  })

  test('knows its version, and names its commands to whoever says nothing', async () => {
    for (const word of ['version', '--version', '-v']) {
      expect(await runCli([word], {})).toEqual({ code: 0, signal: null, stdout: `${VERSION}\n`, stderr: '' })
    }
    const all = await runCli(['--help'], {})
    for (const words of [[], ['-h'], ['help']]) expect(await runCli(words, {})).toEqual(all)
    const group = await runCli(['keys', '--help'], {})
    expect(group.stdout).toMatch(/keys create .*\n {2}keys list .*\n {2}keys rotate .*\n {2}keys revoke .*\n\n/)
    expect(await runCli(['help', 'keys', 'list'], {})).toEqual(await runCli(['keys', 'list', '--help'], {}))
  })

  test('documents every command', async () => {
    const all = await runCli(['help'], {})
    const names = [...all.stdout.matchAll(/^ {2}([a-z]+(?: [a-z]+)?) {2,}/gm)].map((match) => match[1] as string)
    expect(names).toHaveLength(15)
    for (const name of names) {
      const help = await runCli([...name.split(' '), '--help'], {})
      expect(help).toMatchObject({ code: 0, stderr: '', stdout: expect.stringContaining(`Usage: dramatis ${name}`) })
    }
  })

  test('names every wrong variable, and no stack', async () => {
    const outcome = await runCli(['personas', 'list'], { PORT: 'x', DRAMATIS_LOG_LEVEL: 'loud' })
    expect(outcome).toMatchObject({ code: 1, stdout: '' })
    expect(outcome.stderr).toMatch(
      /^dramatis personas list: PORT .*\.\ndramatis personas list: DRAMATIS_LOG_LEVEL .*\.\n$/,
    )
  })
})

test('prints the same OpenAPI document whatever is configured', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'dramatis-test-'))
  const plain = startCli(['openapi'], {}, directory)
  const configured = startCli(['openapi'], {
    PORT: '1234',
    OPENAI_API_KEY: 'sk-x',
    DRAMATIS_DATABASE_URL: 'postgres://x@127.0.0.1:9/x',
  })
  const [one, two] = await Promise.all([plain.ended, configured.ended])
  rmSync(directory, { recursive: true })
  expect(one).toMatchObject({ code: 0, stderr: '' })
  expect(two.stdout).toBe(one.stdout)
  const document = JSON.parse(one.stdout) as { openapi: string; paths: object }
  expect(document.openapi).toBe('3.1.0')
  const paths = Object.keys(document.paths)
  expect(paths).toContain('/conversations/persona')
  expect(paths).toEqual(paths.toSorted((a, b) => (a < b ? -1 : 1)))
})

describe('a server as a process', () => {
  let place: TestDatabase
  const running: ServerProcess[] = []
  const start = async () => {
    const server = await startServer(place)
    running.push(server)
    return server
  }
  beforeAll(async () => {
    place = await sqlite.create()
  })
  afterEach(async () => {
    for (const server of running.splice(0)) {
      server.kill('SIGKILL')
      await server.ended
    }
  })
  afterAll(() => place.remove())

  test('ends with 0 when it is told to', async () => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      const server = await start()
      server.kill(signal)
      expect(await server.ended).toMatchObject({ code: 0, signal: null })
    }
  })

  test('refuses to be the second one on a file, and the command line works beside the first', async () => {
    const first = await start()
    const second = startCli(['start'], environmentOf(place, { PORT: '0' }))
    const refused = await second.ended
    expect(refused).toMatchObject({ code: 1, signal: null })
    expect(refused.stderr).toMatch(/^Dramatis cannot start\.\nanother Dramatis server is using \S+dramatis\.db: .*\n$/)
    expect(await runCli(['keys', 'list'], environmentOf(place))).toMatchObject({ code: 0, stderr: '' })
    expect((await first.call('GET', '/personas')).status).toBe(200)
  })

  test('starts again after it was killed, keeps what it had answered, and says that it checked', async () => {
    const killed = await start()
    const persona = { personaName: 'Survivor', personaDescription: 'x', aiSystem: 'rehearsal', model: 'rehearsal' }
    expect((await killed.call('POST', '/personas', persona)).status).toBe(200)
    killed.kill('SIGKILL')
    expect(await killed.ended).toMatchObject({ signal: 'SIGKILL' })
    const again = await start()
    expect(again.stdout).toMatch(/did not stop cleanly; the database was checked and is sound/)
    const list = await again.call('GET', '/personas?q=Survivor')
    expect((list.body as { data: unknown[] }).data).toHaveLength(1)
    again.kill('SIGTERM')
    await again.ended
    expect((await start()).stdout).not.toMatch(/did not stop cleanly/)
  })
})
