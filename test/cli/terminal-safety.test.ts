import { afterAll, beforeAll, expect, test } from 'vitest'
import { ADMIN_KEY, createPersona, type RunningApp, startApp } from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'
import { environmentOf, runCli, startServer } from '../support/process.ts'
import { type ProviderServer, startProviderServer } from '../support/provider-server.ts'

/** Clears the screen, writes to the clipboard, links elsewhere, writes backwards, hides. */
const ATTACK =
  '\u001b[2J\u001b]52;c;aGk=\u0007\u001b]8;;https://evil.test\u001b\\\u009b31m\u202egnp\u202c\u200b\u2066\ufeff'
/** The same in a name, which is short. */
const NAME_ATTACK = '\u001b[2J\u009b31m\u202egnp\u202c\u200b\u2066'
const DANGEROUS = /(?![\t\n])\p{Cc}|[\u200b\u2028-\u202e\u2060-\u206f\ufeff]/u
const FINE = 'Zoë می‌خواهم 👩‍🚀'

onEveryDatabase('a terminal', (kind) => {
  let server: RunningApp
  let provider: ProviderServer
  beforeAll(async () => {
    provider = await startProviderServer()
    server = await startApp(kind)
    await createPersona(
      server,
      {
        personaName: `${FINE} ${NAME_ATTACK}`,
        personaDescription: ATTACK,
        personaGreeting: `Hello ${ATTACK}`,
        personaText: 'x',
      },
      { text: `One ${FINE} ${ATTACK} two.` },
    )
    await server.call('POST', '/api-keys', { name: `${FINE} ${ATTACK}`, scopes: ['conversations:read'] })
  })
  afterAll(async () => {
    await server.close()
    await provider.close()
  })

  test.each([
    ['personas', 'list'],
    ['personas', 'list', '--json'],
    ['keys', 'list'],
    ['keys', 'list', '--json'],
    ['organizations', 'list'],
  ])('gets no command from %s %s %s', async (...args) => {
    const { code, stdout, stderr } = await runCli(args.filter(Boolean), environmentOf(server.place))
    expect([code, stderr]).toEqual([0, ''])
    expect(stdout).not.toMatch(DANGEROUS)
    if (args[0] !== 'organizations') expect(stdout).toContain(FINE)
  })

  test('gets none from a chat: neither from a reply nor from the names around it', async () => {
    const env = { DRAMATIS_API_KEY: ADMIN_KEY, DRAMATIS_URL: server.url }
    const { stdout, stderr } = await runCli(['chat', FINE], env, `hi ${ATTACK}\n`)
    expect(stdout).toContain(`One ${FINE}`)
    expect(stdout + stderr).not.toMatch(DANGEROUS)
    const unknown = await runCli(['chat', `nobody ${ATTACK}`], env)
    expect([unknown.code, unknown.stderr.includes('nobody')]).toEqual([1, true])
    expect(unknown.stderr).not.toMatch(DANGEROUS)
  })

  test('gets none from the start, its log, and the doctor', async () => {
    const models = { status: 200, headers: { 'content-type': 'application/json' } }
    provider.always({ ...models, pieces: [JSON.stringify({ data: [{ id: `${FINE} ${ATTACK}` }] })] })
    const place = await kind.create()
    try {
      const env = { OPENAI_COMPATIBLE_BASE_URL: `${provider.url}/v1`, [`DRAMATIS_${ATTACK}`]: 'x' }
      const started = await startServer(place, env)
      const doctor = await runCli(['doctor'], environmentOf(place, env))
      started.kill('SIGTERM')
      const { stdout, stderr } = await started.ended
      expect(stdout).toContain(`with ${FINE}`)
      expect(stdout).toContain('nothing here knows it')
      expect(doctor.stdout).toContain(FINE)
      for (const text of [stdout, stderr, doctor.stdout, doctor.stderr]) expect(text).not.toMatch(DANGEROUS)
    } finally {
      await place.remove()
    }
  })
})
