import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test } from 'vitest'
import { type Json, parseSse } from '../support/app.ts'
import { databaseKinds } from '../support/databases.ts'
import { blocksOf, ROOT, textOf } from '../support/pages.ts'

const README = textOf('README.md')
const BLOCKS = blocksOf(README, 'sh')
const executed = new Set<string>()

/**
 * A block of the README that a reader pastes. Half of two of them is not run: `npm ci` would take the packages away from
 * the tests that are running, and `npm test` is what runs this one.
 */
function block(beginning: string): string {
  const found = BLOCKS.filter((one) => one.startsWith(beginning))
  expect([beginning, found.length]).toEqual([beginning, 1])
  executed.add(found[0] as string)
  return found[0] as string
}

/** What somebody has after cloning the repository and `npm ci`, in a folder that is theirs. */
function makeCopy(): string {
  const folder = mkdtempSync(join(tmpdir(), 'dramatis-readme-'))
  for (const name of ['package.json', 'node_modules', 'server']) symlinkSync(join(ROOT, name), join(folder, name))
  return folder
}

/** The path without the packages of this run: a reader's machine has its own Node.js first. */
const PATH = (process.env['PATH'] ?? '')
  .split(delimiter)
  .filter((folder) => !folder.includes('node_modules'))
  .join(delimiter)

function start(command: string, folder: string, env: Record<string, string> = {}) {
  const child = spawn('sh', ['-c', command], {
    cwd: folder,
    // A group of its own, because a signal for npm has to reach what npm runs.
    detached: true,
    env: {
      PATH,
      HOME: process.env['HOME'] ?? folder,
      TMPDIR: tmpdir(),
      npm_config_update_notifier: 'false',
      // Any free port instead of 8787, and no Ollama of whoever runs the tests.
      PORT: '0',
      OLLAMA_HOST: 'http://127.0.0.1:9',
      ...env,
    },
  })
  const output = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output.stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output.stderr += text
  })
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve))
  return { child, output, ended }
}

async function run(command: string, folder: string, env: Record<string, string> = {}, input = '') {
  const { child, output, ended } = start(command, folder, env)
  child.stdin.end(input)
  const code = await ended
  return { code, ...output }
}

/** Starts a server by a command of the README and resolves with what it has printed when it listens. */
async function startServer(command: string, folder: string) {
  const server = start(command, folder)
  const { child, output } = server
  while (!output.stdout.includes('Or talk in the terminal')) {
    if (child.exitCode !== null || child.signalCode !== null)
      throw new Error(`the server ended: ${output.stdout}${output.stderr}`)
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
  const url = /listening on (http:\S+)/.exec(output.stdout)?.[1] ?? ''
  return { ...server, url, banner: output.stdout }
}

async function stop({ child, ended }: { child: ChildProcess; ended: Promise<number | null> }): Promise<void> {
  process.kill(-(child.pid as number), 'SIGTERM')
  await ended
}

/** The command of a banner: from `curl ` to the empty line. */
const commandOf = (banner: string) => /^curl .*?(?=\n\n)/ms.exec(banner)?.[0] ?? ''
const withoutIds = (command: string) =>
  command
    .replace(/dram_[\w-]{43}/, 'KEY')
    .replace(/[0-9a-f]{8}-[0-9a-f-]{27}/, 'ID')
    .replace(/127\.0\.0\.1:\d+/, 'ADDRESS')

describe('the README', () => {
  let folder: string
  let server: Awaited<ReturnType<typeof startServer>>
  let key: string
  let conversation: Json

  beforeAll(async () => {
    folder = makeCopy()
    expect(block('npm ci && npm start')).toBe('npm ci && npm start')
    server = await startServer('npm start', folder)
    key = /API key +(dram_\S+)/.exec(server.banner)?.[1] ?? ''
    const created = await run(commandOf(server.banner), folder)
    conversation = JSON.parse(created.stdout) as Json
  })
  afterAll(async () => {
    if (server) await stop(server)
    rmSync(folder, { recursive: true })
  })

  /** What stands in front of a block when a reader pastes it: the block with the exports, filled in. */
  const exported = () =>
    block('export DRAMATIS_API_KEY')
      .replace('<the key that was printed>', key)
      .replace('<the conversationId of the answer>', String(conversation['conversationId']))
  const paste = (text: string, input = '') =>
    run(
      `${exported()}\n${text.replaceAll('http://127.0.0.1:8787', server.url)}`,
      folder,
      { DRAMATIS_URL: server.url },
      input,
    )

  test('starts a server that makes its database where it says', () => {
    expect(key).toMatch(/^dram_[\w-]{43}$/)
    expect(existsSync(join(folder, 'data/dramatis.db'))).toBe(true)
    expect(server.banner).toContain('NOT a language model')
  })

  test('shows the command that is printed', () => {
    const printed = commandOf(server.banner)
    expect(withoutIds(block("curl --request POST 'http://127.0.0.1:8787/conversations/persona'"))).toBe(
      withoutIds(printed),
    )
  })

  test('shows the answer that it gets', () => {
    const shown = JSON.parse(blocksOf(README, 'json')[0] ?? '') as Json & { chatMessages: { content: string }[] }
    const { conversationId, chatMessages, ...rest } = shown
    expect(conversationId).toMatch(/^[0-9a-f-]{36}$/)
    expect(conversation).toMatchObject(rest)
    const messages = conversation['chatMessages'] as { content: string }[]
    expect(messages).toHaveLength(chatMessages.length)
    for (const [i, message] of chatMessages.entries()) {
      const content = expect.stringContaining(message.content.replace(/ …$/, ''))
      expect(messages[i]).toMatchObject({ ...message, content })
    }
  })

  test('goes on with server-sent events', async () => {
    const answer = await paste(sending('/chat-sse"'))
    const events = parseSse(answer.stdout)
    expect(events.at(-1)?.data).toBe('[DONE]')
    const items = events.slice(0, -1).map(({ data }) => JSON.parse(data) as Item)
    expectReply(items, 'dishwasher')
  })

  test('goes on with an array', async () => {
    expectReply(JSON.parse((await paste(sending('/chat-http2"'))).stdout) as Item[], 'And the lid?')
  })

  test('goes on with a whole reply', async () => {
    const answer = JSON.parse((await paste(sending('/chat"'))).stdout) as { choices: Item['choice'][] }
    expect(answer.choices[0]?.message.content).toContain('Thank you.')
  })

  test('talks in the terminal', async () => {
    const chat = await paste(block('npx dramatis chat'), '1\nHello there\n/quit\n')
    expect(chat).toMatchObject({ code: 0, stdout: expect.stringContaining('“Hello there”') })
  })

  test('runs the commands for operators', async () => {
    const commands = block('npx dramatis doctor').split('\n')
    const outcomes = new Map<string, Awaited<ReturnType<typeof run>>>()
    for (const command of commands) outcomes.set(command.split(' ').slice(2).join(' '), await paste(command))
    for (const [command, outcome] of outcomes)
      expect([command, outcome]).toEqual([command, expect.objectContaining({ code: 0 })])
    expect([...outcomes.keys()]).toEqual([
      'doctor',
      "keys create 'my app'",
      'keys list',
      'backup backup.db --with-blobs',
    ])
    const [doctor, created, listed] = [...outcomes.values()]
    expect(doctor?.stdout).toMatch(/ok\s+database/)
    expect(created?.stdout).toMatch(/^dram_[\w-]{43}\n$/)
    expect(listed?.stdout).toContain('my app')
    expect(existsSync(join(folder, 'backup.db'))).toBe(true)
  })

  /** A second server, in a copy of its own, that ends with the test however it ends. */
  async function startAnother(command: string) {
    const other = makeCopy()
    onTestFinished(() => rmSync(other, { recursive: true }))
    const second = await startServer(command, other)
    onTestFinished(() => stop(second))
    return { ...second, other }
  }

  test('switches to a real provider', async () => {
    // The start asks the provider nothing, so any key will do.
    const { banner } = await startAnother(block('OPENAI_API_KEY=').replace('<your key>', 'sk-of-the-readme'))
    expect(banner).toContain('OpenAI with gpt-4.1-mini, because OPENAI_API_KEY is set.')
  })

  test.skipIf(inject('postgresUrl') === '')('switches to PostgreSQL', async () => {
    const place = await databaseKinds.find(({ name }) => name === 'postgres')?.create()
    if (!place) throw new Error('there is no PostgreSQL')
    onTestFinished(() => place.remove())
    const command = block('DRAMATIS_DATABASE_URL=').replace('postgres://user:password@host/database', place.url)
    const { banner, other } = await startAnother(command)
    expect((await run(commandOf(banner), other)).stdout).toContain('"conversationId"')
    expect(existsSync(join(other, 'data/dramatis.db'))).toBe(false)
  })

  test('has no other commands than these', () => {
    expect(block('npm ci && npm test')).toBe('npm ci && npm test')
    if (inject('postgresUrl') === '') block('DRAMATIS_DATABASE_URL=')
    expect(BLOCKS.filter((one) => !executed.has(one))).toEqual([])
  })
})

type Item = { choice: { finish_reason: string | null; message: { content: string } } }

/** The block that sends a message to this endpoint; they begin alike. */
function sending(endpoint: string): string {
  const found = BLOCKS.filter((one) => one.includes(`$CONVERSATION${endpoint}`))
  expect([endpoint, found.length]).toEqual([endpoint, 1])
  executed.add(found[0] as string)
  return found[0] as string
}

function expectReply(items: Item[], about: string): void {
  expect(items.map(({ choice }) => choice.message.content).join('')).toContain(about)
  expect(items.at(-1)?.choice.finish_reason).toBe('stop')
}
