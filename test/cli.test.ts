import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { ADMIN_KEY } from './support/app.ts'
import { databaseKinds, onEveryDatabase, type TestDatabase } from './support/databases.ts'
import { environmentOf, runCli, type ServerProcess, startCli, startServer } from './support/process.ts'

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

  test('says that all is well', async () => {
    const doctor = await runCli(['doctor'], {
      ...env,
      PORT: new URL(server.url).port,
      OPENAI_API_KEY: 'sk-secret-of-mine',
    })
    expect(doctor).toMatchObject({ code: 0, stderr: '' })
    expect(doctor.stdout).toMatch(/ok\s+database\s+.*up to date/)
    expect(doctor.stdout).toMatch(/ok\s+address\s+a server answers at/)
    expect(doctor.stdout).toMatch(/ok\s+openai\s+usable/)
    expect(doctor.stdout).toMatch(/note\s+anthropic\s+.*ANTHROPIC_API_KEY/)
    expect(doctor.stdout).toMatch(/ok\s+default\s+OpenAI/)
    expect(doctor.stdout).not.toContain('sk-secret')
    if (kind.name === 'sqlite') expect(doctor.stdout).toMatch(/ok\s+server\s+one is running/)
    else expect(doctor.stdout).not.toContain('dramatis:dramatis')
  })
})

describe('the doctor', () => {
  test('names every variable that is wrong', async () => {
    const doctor = await runCli(['doctor'], { PORT: 'x', DRAMATIS_LOG_LEVEL: 'loud' })
    expect(doctor.code).toBe(1)
    expect(doctor.stdout).toMatch(/BAD {3}configuration {2}PORT.*\nBAD {3}configuration {2}DRAMATIS_LOG_LEVEL.*\n$/)
  })

  test('finds a database that cannot be reached, without the password', async () => {
    const doctor = await runCli(['doctor'], {
      DRAMATIS_DATABASE_URL: 'postgres://me:hidden@127.0.0.1:9/db',
      OLLAMA_HOST: 'http://127.0.0.1:9',
    })
    expect(doctor.code).toBe(1)
    expect(doctor.stdout).toMatch(/BAD\s+database\s+db at 127\.0\.0\.1:9 cannot be used: .*ECONNREFUSED/)
    expect(doctor.stdout).not.toContain('hidden')
  })

  test('makes nothing where there is nothing', async () => {
    const place = await sqlite.create()
    const doctor = await runCli(['doctor'], environmentOf(place))
    expect(doctor).toMatchObject({ code: 0, stdout: expect.stringMatching(/note\s+database\s+there is none/) })
    expect(await runCli(['keys', 'list'], environmentOf(place))).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^dramatis keys list: there is no database at .*\n$/),
    })
    expect((await runCli(['doctor'], environmentOf(place))).stdout).toMatch(/note\s+database\s+there is none/)
    await place.remove()
  })
})

describe('usage', () => {
  test.each([
    [['frobnicate'], /^dramatis: there is no command "frobnicate"/],
    [['keys'], /^dramatis keys: say which one: keys create, keys list, keys revoke/],
    [['keys', 'eat'], /"keys eat"/],
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

  test('documents every command', async () => {
    const all = await runCli(['help'], {})
    const names = [...all.stdout.matchAll(/^ {2}([a-z]+(?: [a-z]+)?) {2,}/gm)].map((match) => match[1] as string)
    expect(names).toHaveLength(12)
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
