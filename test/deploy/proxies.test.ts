import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type RunningApp, startApp } from '../support/app.ts'
import { databaseKinds } from '../support/databases.ts'
import { freePort } from '../support/free-port.ts'
import { chatChunk, type ProviderServer, startProviderServer } from '../support/provider-server.ts'

const FILES = join(import.meta.dirname, '../../deploy/proxies')

type Proxy = {
  name: string
  file: string
  version: readonly string[]
  /** What starts it in the foreground on a configuration in a folder of its own. */
  command(directory: string, configuration: string): string[]
  /** What stands before the address that it listens on. */
  scheme?: string
  /** The whole configuration, where the file is a part of one. */
  complete?(text: string, directory: string): string
}

const PROXIES: readonly Proxy[] = [
  {
    name: 'nginx',
    file: 'nginx.conf',
    version: ['nginx', '-v'],
    command: (directory, configuration) => ['nginx', '-p', directory, '-c', configuration],
    complete: (text, directory) =>
      `daemon off; pid ${directory}/pid; error_log stderr warn; worker_processes 1; user root;
       events {} http { access_log off; ${text} }`,
  },
  {
    name: 'haproxy',
    file: 'haproxy.cfg',
    version: ['haproxy', '-v'],
    command: (_directory, configuration) => ['haproxy', '-db', '-f', configuration],
  },
  {
    name: 'caddy',
    file: 'Caddyfile',
    version: ['caddy', 'version'],
    scheme: 'http://',
    command: (_directory, configuration) => ['caddy', 'run', '--adapter', 'caddyfile', '--config', configuration],
    complete: (text) => `{\nadmin off\n}\n${text}`,
  },
]

const sqlite = databaseKinds[0]

for (const proxy of PROXIES) {
  const [program = '', ...args] = proxy.version
  const isThere = spawnSync(program, args).error === undefined
  if (!isThere) console.warn(`the tests behind ${proxy.name} are SKIPPED: it is not installed`)

  describe.skipIf(!isThere)(`behind ${proxy.name} as deploy/proxies/${proxy.file} sets it up`, () => {
    let provider: ProviderServer
    let server: RunningApp
    let child: ChildProcess
    let url = ''
    const directory = mkdtempSync(join(tmpdir(), 'dramatis-proxy-'))

    beforeAll(async () => {
      provider = await startProviderServer()
      server = await startApp(sqlite as (typeof databaseKinds)[number], {
        OPENAI_COMPATIBLE_BASE_URL: `${provider.url}/v1`,
        OPENAI_COMPATIBLE_MODEL: 'm',
      })
      const port = await freePort()
      url = `http://127.0.0.1:${port}`
      child = start(proxy, directory, port, server.url)
      await answering(`${url}/healthz`, child)
    })

    afterAll(async () => {
      const ended = once(child, 'close')
      // Not SIGKILL, which would leave the workers of nginx behind.
      child.kill('SIGTERM')
      await ended
      await server.close()
      await provider.close()
      rmSync(directory, { recursive: true, force: true })
    })

    test.each([
      ['server-sent events', 'chat-sse'],
      ['a JSON array', 'chat-http2'],
    ])('%s come through one by one', async (_what, path) => {
      const words = Array.from({ length: 12 }, (_, i) => `word-${i} `)
      const gates = words.map(() => Promise.withResolvers<void>())
      // Each word is sent only when the client has read the one before it.
      const pieces = words.flatMap((word, i) => [
        { until: gates[i]?.promise ?? Promise.resolve() },
        chatChunk([{ index: 0, delta: { content: word }, finish_reason: null }]),
      ])
      const end = [chatChunk([{ index: 0, delta: {}, finish_reason: 'stop' }]), 'data: [DONE]\n\n']
      provider.script([{ headers: { 'content-type': 'text/event-stream' }, pieces: [...pieces, ...end] }])
      gates[0]?.resolve()
      const response = await send(`/conversations/${await conversation()}/${path}`, { message: 'Count.' })
      let text = ''
      for await (const piece of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
        text += piece
        for (const [i, word] of words.entries()) if (text.includes(word)) gates[i + 1]?.resolve()
      }
      expect(response.status).toBe(200)
      for (const word of words) expect(text).toContain(word)
      expect(text.trimEnd().endsWith(path === 'chat-sse' ? 'data: [DONE]' : ']')).toBe(true)
    })

    test('errors, and what says who asked, come through as they are', async () => {
      const missing = await send('/conversations/01a208a9-a60c-7002-837a-43e3cbe69b0e/chat', { message: 'x' })
      expect(missing.status).toBe(404)
      expect(missing.headers.get('x-request-id')).toBeTruthy()
      expect(await missing.json()).toMatchObject({ error: { code: 'not_found' } })
      expect((await fetch(`${url}/conversations`)).status).toBe(401)
    })

    test('a file of the largest size comes in', async () => {
      const id = await conversation()
      const bytes = Buffer.alloc(10_485_760, 'a line of text\n')
      const upload = await fetch(`${url}/conversations/${id}/attachments`, {
        method: 'POST',
        headers: { ...key(), 'content-type': 'text/plain' },
        body: bytes,
      })
      expect(upload.status, await upload.text()).toBeLessThan(300)
    })

    const key = () => ({ 'x-hl-api-key': server.config.apiKey ?? '' })

    function send(path: string, body: object): Promise<Response> {
      const headers = { ...key(), 'content-type': 'application/json' }
      return fetch(url + path, { method: 'POST', headers, body: JSON.stringify(body) })
    }

    async function conversation(): Promise<string> {
      const answer = await send('/conversations', { aiSystem: 'openai-compatible', model: 'm' })
      return ((await answer.json()) as { conversationId: string }).conversationId
    }
  })
}

function start(proxy: Proxy, directory: string, port: number, server: string): ChildProcess {
  const text = readFileSync(join(FILES, proxy.file), 'utf8')
  // Caddy takes a scheme, and with it leaves certificates alone.
  const here = text.replace(/(?:127\.0\.0\.1)?:?\b8080\b(?= ?[{;\n])/, `${proxy.scheme ?? ''}127.0.0.1:${port}`)
  const there = here.replaceAll('127.0.0.1:8787', new URL(server).host)
  const configuration = join(directory, proxy.file)
  mkdirSync(join(directory, 'logs'), { recursive: true })
  writeFileSync(configuration, proxy.complete?.(there, directory) ?? there)
  const [program = '', ...args] = proxy.command(directory, configuration)
  return spawn(program, args, {
    stdio: 'ignore',
    env: { PATH: process.env['PATH'], HOME: directory, XDG_DATA_HOME: directory, XDG_CONFIG_HOME: directory },
  })
}

async function answering(url: string, child: ChildProcess): Promise<void> {
  while (child.exitCode === null) {
    const response = await fetch(url).catch(() => null)
    if (response?.status === 200) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error('the proxy has ended')
}
