import { execFileSync } from 'node:child_process'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { databaseKinds, onEveryDatabase, type TestDatabase } from '../support/databases.ts'
import { environmentOf, runCli, type ServerProcess, startCli, startServer } from '../support/process.ts'
import { type ProviderServer, startProviderServer } from '../support/provider-server.ts'

const sqlite = databaseKinds[0] as (typeof databaseKinds)[number]
const NO_OLLAMA = { OLLAMA_HOST: 'http://127.0.0.1:9' }

onEveryDatabase('the doctor beside a server', (kind) => {
  let place: TestDatabase
  let server: ServerProcess

  beforeAll(async () => {
    place = await kind.create()
    server = await startServer(place)
  })
  afterAll(async () => {
    server.kill('SIGTERM')
    await server.ended
    await place.remove()
  })

  test('says that all is well', async () => {
    const doctor = await runCli(['doctor'], environmentOf(place, { PORT: new URL(server.url).port }))
    expect(doctor).toMatchObject({ code: 0, stderr: '' })
    expect(doctor.stdout).toMatch(/ok\s+node\s+Node\.js 2\d\./)
    expect(doctor.stdout).toMatch(/ok\s+database\s+.*up to date/)
    expect(doctor.stdout).toMatch(/ok\s+address\s+a server answers at/)
    expect(doctor.stdout).toMatch(/note\s+anthropic\s+.*ANTHROPIC_API_KEY/)
    expect(doctor.stdout).toMatch(/ok\s+default\s+Rehearsal/)
    if (kind.name === 'postgres') return expect(doctor.stdout).not.toContain('dramatis:dramatis')
    expect(doctor.stdout).toMatch(/ok\s+server\s+one is running/)
    expect(doctor.stdout).toMatch(/ok\s+data folder\s+.* is writable\n(ok|note)\s+disk\s+.* free at/)
  })
})

describe('the doctor', () => {
  test('names every variable that is wrong', async () => {
    const doctor = await runCli(['doctor'], { PORT: 'x', DRAMATIS_LOG_LEVEL: 'loud' })
    expect(doctor.code).toBe(1)
    expect(doctor.stdout).toMatch(/BAD {3}configuration {2}PORT.*\nBAD {3}configuration {2}DRAMATIS_LOG_LEVEL.*\n$/)
  })

  test('finds a database that cannot be reached, without the password', async () => {
    const url = 'postgres://me:hidden@127.0.0.1:9/db'
    const doctor = await runCli(['doctor'], { ...NO_OLLAMA, DRAMATIS_DATABASE_URL: url, PORT: '0' })
    expect(doctor.code).toBe(1)
    expect(doctor.stdout).toMatch(/BAD\s+database\s+db at 127\.0\.0\.1:9 cannot be used: .*ECONNREFUSED/)
    expect(doctor.stdout).not.toContain('hidden')
  })

  test('makes nothing where there is nothing', async () => {
    const place = await sqlite.create()
    const env = environmentOf(place, { PORT: '0' })
    const doctor = await runCli(['doctor'], env)
    expect(doctor).toMatchObject({ code: 0, stdout: expect.stringMatching(/note\s+database\s+none at/) })
    expect(await runCli(['keys', 'list'], env)).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^dramatis keys list: there is no database at .*\n$/),
    })
    expect((await runCli(['doctor'], env)).stdout).toMatch(/note\s+database\s+none at/)
    await place.remove()
  })

  test('leaves no trace: the next start is a clean one', async () => {
    const place = await sqlite.create()
    for (let i = 0; i < 2; i++) {
      const server = await startServer(place)
      server.kill('SIGTERM')
      expect((await server.ended).stdout).not.toContain('cleanly')
      const doctor = await runCli(['doctor'], environmentOf(place, { PORT: '0' }))
      expect(doctor.stdout).toMatch(/note\s+server\s+none is running/)
    }
    await place.remove()
  })

  test('tells a free port from one that something else has', async () => {
    const other = createServer((_request, response) => response.end('{"status":"fine"}'))
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
    const place = await sqlite.create()
    const PORT = String((other.address() as AddressInfo).port)
    const taken = await runCli(['doctor'], environmentOf(place, { PORT }))
    expect(taken).toMatchObject({ code: 1, stdout: expect.stringMatching(/BAD\s+address\s+.*no Dramatis server/) })
    await new Promise((resolve) => other.close(resolve))
    const free = await runCli(['doctor'], environmentOf(place, { PORT }))
    expect(free).toMatchObject({ code: 0, stdout: expect.stringMatching(/note\s+address\s+.*the port is free/) })
    const elsewhere = await runCli(['doctor'], environmentOf(place, { PORT, HOST: '192.0.2.1' }))
    expect(elsewhere).toMatchObject({ code: 1, stdout: expect.stringMatching(/BAD\s+address\s+.*no address of this/) })
    await place.remove()
  })

  test('finds a server with a certificate of its own making', async () => {
    const place = await sqlite.create()
    const files = { cert: join(place.directory, 'cert.pem'), key: join(place.directory, 'key.pem') }
    const out = ['-keyout', files.key, '-out', files.cert, '-days', '2', '-subj', '/CN=localhost']
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256']
    execFileSync('openssl', ['req', '-x509', ...curve, '-nodes', ...out], { stdio: 'ignore' })
    const tls = { DRAMATIS_TLS_CERT: files.cert, DRAMATIS_TLS_KEY: files.key }
    const server = startCli(['start'], environmentOf(place, { PORT: '0', ...tls }))
    const [, port = ''] = await server.waitFor(/listening on https:\/\/127\.0\.0\.1:(\d+)\n/)
    const doctor = await runCli(['doctor'], environmentOf(place, { PORT: port, ...tls }))
    expect(doctor).toMatchObject({ code: 0, stdout: expect.stringMatching(/ok\s+address\s+.*https.* is ready/) })
    server.kill('SIGTERM')
    await server.ended
    await place.remove()
  })
})

describe('the doctor asks the providers that are configured', () => {
  let place: TestDatabase
  let provider: ProviderServer
  beforeAll(async () => {
    place = await sqlite.create()
    provider = await startProviderServer()
  })
  afterAll(async () => {
    await provider.close()
    await place.remove()
  })
  const examine = (env: Record<string, string>) => runCli(['doctor'], environmentOf(place, { PORT: '0', ...env }))

  test('and says which take the key', async () => {
    const secret = 'sk-secret-of-mine'
    provider.script([{ status: 401, pieces: ['{"error":"no"}'] }], '/anthropic')
    provider.script([{ status: 400, pieces: ['{"error":{"message":"API key not valid."}}'] }], '/google')
    const doctor = await examine({
      OPENAI_API_KEY: secret,
      OPENAI_BASE_URL: `${provider.url}/v1`,
      ANTHROPIC_API_KEY: secret,
      ANTHROPIC_BASE_URL: `${provider.url}/anthropic/v1`,
      GEMINI_API_KEY: secret,
      GOOGLE_GENERATIVE_AI_BASE_URL: `${provider.url}/google`,
      MISTRAL_API_KEY: secret,
      MISTRAL_BASE_URL: `${provider.url}/elsewhere`,
      GROQ_API_KEY: secret,
      GROQ_BASE_URL: 'http://127.0.0.1:2',
    })
    expect(doctor).toMatchObject({ code: 1, stderr: '' })
    expect(doctor.stdout).toMatch(/ok\s+openai\s+usable, by default with \S+; http:\S+ answers and accepts the key/)
    expect(doctor.stdout).toMatch(/BAD\s+anthropic\s+http:\S+ does not accept the key in ANTHROPIC_API_KEY/)
    expect(doctor.stdout).toMatch(/BAD\s+google\s+http:\S+ does not accept the key in GEMINI_API_KEY/)
    expect(doctor.stdout).toMatch(/note\s+mistral\s+usable.*answers 404/)
    expect(doctor.stdout).toMatch(/BAD\s+groq\s+http:\S+ cannot be reached: .*ECONNREFUSED/)
    expect(doctor.stdout).toMatch(/ok\s+default\s+OpenAI/)
    expect(doctor.stdout).not.toContain(secret)
    const asked = provider.requests.find(({ path }) => path === '/v1/models')
    expect(asked).toMatchObject({ method: 'GET', headers: { authorization: `Bearer ${secret}` } })
  })

  test('and is not content with a default that cannot be reached', async () => {
    const doctor = await examine({ OPENAI_COMPATIBLE_BASE_URL: 'http://127.0.0.1:2/v1', OPENAI_COMPATIBLE_MODEL: 'm' })
    expect(doctor.code).toBe(1)
    expect(doctor.stdout).toMatch(/BAD\s+openai-compatible\s+http:\S+ cannot be reached/)
    expect(doctor.stdout).toMatch(/BAD\s+default\s+OpenAI-compatible/)
  })
})
