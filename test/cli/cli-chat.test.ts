import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ADMIN_KEY, createPersona, type RunningApp, startApp } from '../support/app.ts'
import { databaseKinds } from '../support/databases.ts'
import { runCli, startCli } from '../support/process.ts'

type Message = { role: string; content: string }
type Conversation = { conversationId: string; personaId: string; chatMessages: Message[] }

const LONG = Array.from({ length: 60 }, (_, i) => `word${i}`).join(' ')

describe('dramatis chat', () => {
  let server: RunningApp
  let env: Record<string, string>

  beforeAll(async () => {
    server = await startApp(databaseKinds[0] as (typeof databaseKinds)[number])
    env = { DRAMATIS_URL: server.url, DRAMATIS_API_KEY: ADMIN_KEY }
    const personas: [string, object, object][] = [
      ['Plain', {}, { text: 'One two\nthree.' }],
      ['Slow', {}, { text: LONG, tokensPerSecond: 20 }],
      ['Thinker', {}, { text: LONG, tokensPerSecond: 20, delayMs: 1_500 }],
      ['Broken at once', {}, { failure: 'error', failAtToken: 0 }],
      ['Broken later', {}, { text: 'a b c d', failure: 'cut', failAtToken: 2 }],
      ['Painter', { personaGreeting: '\u001b[2Jhi' }, { text: 'red \u001b[31mnot\u0007 blue\r' }],
      ['Short', {}, { text: 'a b c', finishReason: 'length' }],
    ]
    for (const [personaName, fields, script] of personas) {
      await createPersona(server, { personaName, personaText: null, personaGreeting: null, ...fields }, { ...script })
    }
    await createPersona(server, {
      personaName: 'Guide',
      personaText: 'You know {{city}}, {{season}} and {{mood}}.',
      personaGreeting: 'Welcome to {{city}} in {{season}}.{{mood}}',
      personaConfiguration: {
        rehearsal: { text: 'Yes.' },
        variables: {
          city: { required: true, description: 'Where it is' },
          season: { required: true, default: 'spring' },
        },
      },
    })
  })
  afterAll(() => server.close())

  const chat = (args: readonly string[], input: string) => runCli(['chat', ...args], env, input)
  /** The newest conversation with a persona whose name begins like this. */
  async function lastConversation(name: string): Promise<Message[]> {
    const personas = await server.call<{ data: { personaId: string }[] }>(
      'GET',
      `/personas?q=${encodeURIComponent(name)}`,
    )
    const path = `/conversations/persona/${personas.body.data[0]?.personaId}?includeMessages=true&pageSize=1`
    return (await server.call<{ data: Conversation[] }>('GET', path)).body.data[0]?.chatMessages ?? []
  }

  test('asks for what is required, greets, answers, and ends with the input', async () => {
    const outcome = await chat(['GUI'], 'Rome\nIs it warm?\n\nAnd now?\n')
    expect(outcome).toMatchObject({ code: 0, stdout: 'Welcome to Rome in spring.\nYes.\nYes.\n' })
    expect(outcome.stderr).toMatch(/NOT a language model/)
    expect(outcome.stderr).toMatch(/Without a value: mood/)
    const messages = await lastConversation('Guide')
    expect(messages.map(({ role, content }) => `${role}: ${content}`)).toEqual([
      'system: You know Rome, spring and .',
      'assistant: Welcome to Rome in spring.',
      'user: Is it warm?',
      'assistant: Yes.',
      'user: And now?',
      'assistant: Yes.',
    ])
  })

  test('takes values, starts again, and sends what begins with a slash', async () => {
    const args = ['guide', '--set', 'city=Oslo=cold', '--set', 'mood= Brr.', '--set', 'season=winter']
    const outcome = await chat(args, 'one\n/new\n//two\n/bogus\n/help\n/quit\nnever sent\n')
    const greeting = 'Welcome to Oslo=cold in winter. Brr.\n'
    expect(outcome).toMatchObject({ code: 0, stdout: `${greeting}Yes.\n${greeting}Yes.\n` })
    expect(outcome.stderr).toMatch(/There is no command \/bogus/)
    expect(outcome.stderr).toMatch(/\/personas {3}Choose another/)
    const users = (await lastConversation('Guide')).filter(({ role }) => role === 'user')
    expect(users.map(({ content }) => content)).toEqual(['/two'])
  })

  test('lets one choose among several, at the start and later', async () => {
    const outcome = await chat([], 'x\n1\nRome\n/personas\n4\nhi\n')
    expect(outcome.stderr).toMatch(
      /^ {3}1 {2}Guide: For tests\n {3}2 {2}Short[\s\S]*\n {2}11 {2}.*\nPlease give a number from 1 to 11/,
    )
    const fourth = /^ {3}4 {2}(.+): For tests$/m.exec(outcome.stderr)?.[1]
    expect(fourth).toBe('Broken later')
    expect(outcome).toMatchObject({ code: 1, stdout: 'Welcome to Rome in spring.\na b\n' })
    expect((await chat(['broken'], '1\n')).stderr).toMatch(/ {2}1 {2}Broken later: .*\n {2}2 {2}Broken at once/)
  })

  test('shows a failure in a line and goes on', async () => {
    const atOnce = await chat(['Broken at once'], 'hi\nagain\n')
    expect(atOnce).toMatchObject({ code: 1, stdout: '' })
    expect(atOnce.stderr.match(/^The turn failed: .*500.*\.$/gm)).toHaveLength(2)
    const later = await chat(['Broken later'], 'hi\n')
    expect(later).toMatchObject({ code: 1, stdout: 'a b\n' })
    expect(later.stderr).toMatch(/^The turn failed: .+\.$/m)
    expect((await chat(['short'], 'hi\n')).stderr).toMatch(/\[cut off: .*limit of tokens\]/)
  })

  test('a command that fails leaves the conversation, and counts as a failure', async () => {
    const shortLived = await startApp(databaseKinds[0] as (typeof databaseKinds)[number])
    const extra = { text: 'Still here.' }
    await createPersona(shortLived, { personaName: 'Solo', personaText: null, personaGreeting: null }, extra)
    const cli = startCli(['chat', 'solo', '--url', shortLived.url], env)
    cli.type('hi\n')
    await cli.waitFor(/Still here\.\n/)
    await shortLived.close()
    cli.type('/new\nand now?\n')
    await cli.waitFor(/That did not work: cannot reach a server at [^\n]+\.\nThe turn failed: cannot reach/)
    cli.endInput()
    expect(await cli.ended).toMatchObject({ code: 1, stdout: 'Still here.\n' })
  })

  test('gives the terminal no commands that come from others', async () => {
    expect(await chat(['painter'], 'hi\n')).toMatchObject({ code: 0, stdout: '[2Jhi\nred [31mnot blue\n' })
  })

  test('an interrupt stops the reply and keeps the chat', async () => {
    const cli = startCli(['chat', 'slow'], env)
    cli.type('hi\n')
    await cli.waitFor(/word0 word1 word2/)
    cli.kill('SIGINT')
    await cli.waitFor(/\[stopped\]/)
    const shown = cli.stdout
    expect(shown).toMatch(/^word0 word1 word2[\w ]*\n$/)
    expect((await lastConversation('Slow')).at(-1)).toMatchObject({ role: 'assistant', content: shown.trimEnd() })
    cli.type('more\n')
    await cli.waitFor(/\n(word0 word1 word2)/)
    cli.kill('SIGINT')
    await cli.waitFor(/\[stopped\][\s\S]*\[stopped\]/)
    cli.endInput()
    expect(await cli.ended).toMatchObject({ code: 0, signal: null })
  })

  test('an interrupt before the reply has begun stops it too', async () => {
    const cli = startCli(['chat', 'thinker'], env)
    cli.type('hi\n')
    await expect.poll(async () => (await lastConversation('Thinker')).length).toBe(1)
    cli.kill('SIGINT')
    await cli.waitFor(/\[stopping …\]/)
    await cli.waitFor(/\[stopped\]/)
    expect(cli.stdout).not.toContain('word59')
    cli.endInput()
    expect(await cli.ended).toMatchObject({ code: 0 })
  })

  test('a second interrupt ends the chat, and so does one at the prompt', async () => {
    const busy = startCli(['chat', 'thinker'], env)
    busy.type('hi\n')
    await expect.poll(async () => (await lastConversation('Thinker')).length).toBe(1)
    busy.kill('SIGINT')
    await busy.waitFor(/\[stopping …\]/)
    busy.kill('SIGINT')
    expect(await busy.ended).toMatchObject({ code: 0, signal: null, stdout: '' })

    const idle = startCli(['chat', 'plain'], env)
    idle.type('hi\n')
    await idle.waitFor(/One two\nthree\.\n/)
    idle.kill('SIGINT')
    expect(await idle.ended).toMatchObject({ code: 0, signal: null })
  })

  test.each([
    ['an unknown key', ['plain', '--key', 'x'.repeat(40)], {}, /the API key is unknown, revoked or expired\./],
    ['no key', ['plain'], { DRAMATIS_API_KEY: '' }, /set DRAMATIS_API_KEY/],
    [
      'nobody there',
      ['plain', '--url', 'http://127.0.0.1:2'],
      {},
      /cannot reach a server at http:\/\/127\.0\.0\.1:2: .*ECONNREFUSED/,
    ],
    ['no address', ['plain'], { DRAMATIS_URL: 'localhost' }, /"localhost" is no address/],
    ['an unknown persona', ['nobody'], {}, /no persona is called "nobody" or begins like it: there are Guide/],
  ])('says in a line that there is %s', async (_what, args, extra, sentence) => {
    const outcome = await runCli(['chat', ...args], { ...env, ...extra })
    expect(outcome).toMatchObject({ code: 1, stdout: '', stderr: expect.stringMatching(/^dramatis chat: [^\n]+\n$/) })
    expect(outcome.stderr).toMatch(sentence)
  })
})
