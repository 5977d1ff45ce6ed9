import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Json, type RunningApp, startApp } from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'
import { readConversation, startWithTools, type Whole } from '../support/tools.ts'

/** Their packages are installed by `npm run test:mcp` and in CI, and not by everybody. */
const PACKAGES = join(import.meta.dirname, '../mcp-servers/node_modules/@modelcontextprotocol')
const EVERYTHING = join(PACKAGES, 'server-everything/dist/index.js')
const isThere = existsSync(PACKAGES)
if (!isThere)
  console.warn('the reference servers of MCP are not installed (npm run test:mcp): their journey is skipped')

onEveryDatabase('the public reference servers of MCP', (kind) => {
  let server: RunningApp
  let directory: string
  const processes: ChildProcess[] = []
  const urls = { streamableHttp: '', sse: '' }

  async function start(transport: keyof typeof urls): Promise<void> {
    const port = await freePort()
    const env = { PATH: process.env['PATH'], PORT: String(port) }
    const child = spawn(process.execPath, [EVERYTHING, transport], { env, stdio: ['ignore', 'ignore', 'pipe'] })
    processes.push(child)
    urls[transport] = `http://127.0.0.1:${port}/${transport === 'sse' ? 'sse' : 'mcp'}`
    await new Promise<void>((resolve, reject) => {
      let said = ''
      child.stderr.on('data', (chunk) => {
        said += chunk
        if (said.includes(`on port ${port}`)) resolve()
      })
      child.once('exit', () => reject(new Error(`${transport} did not start: ${said}`)))
    })
  }

  beforeAll(async () => {
    if (!isThere) return
    directory = mkdtempSync(join(tmpdir(), 'dramatis-mcp-'))
    writeFileSync(join(directory, 'note.txt'), 'Bring salt.')
    await Promise.all([start('streamableHttp'), start('sse')])
    const node = (...args: string[]) => ({ command: process.execPath, args })
    server = await startApp(kind, {
      DRAMATIS_ALLOW_PRIVATE_HOSTS: '127.0.0.1',
      DRAMATIS_MCP_COMMANDS: JSON.stringify({
        everything: node(EVERYTHING),
        filesystem: node(join(PACKAGES, 'server-filesystem/dist/index.js'), directory),
        memory: {
          ...node(join(PACKAGES, 'server-memory/dist/index.js')),
          env: { MEMORY_FILE_PATH: join(directory, 'memory.jsonl') },
        },
      }),
    })
  })
  afterAll(async () => {
    for (const child of processes) child.kill()
    await server?.close()
    if (directory) rmSync(directory, { recursive: true })
  })

  /** Calls one behind the other. */
  async function resultsOf(tool: Json, ...calls: [name: string, input?: Json][]): Promise<string[]> {
    const id = await startWithTools(server, [{ type: 'mcp', ...tool }], {
      maxToolSteps: 20,
      rehearsal: { text: 'Done.', toolCalls: calls.map(([name, input = {}]) => [{ name, input }]) },
    })
    const answer = await server.call<Whole>('POST', `/conversations/${id}/chat`, { message: 'Go' })
    expect(answer.body.choices?.[0]?.message.content, answer.text).toBe('Done.')
    const { chatMessages } = await readConversation(server, id)
    return chatMessages.filter(({ role }) => role === 'tool').map(({ content }) => content)
  }

  test.skipIf(!isThere).each(['a process', 'Streamable HTTP', 'events'])(
    'everything is called over %s',
    async (way) => {
      const tool =
        way === 'a process' ? { preset: 'everything' } : { url: way === 'events' ? urls.sse : urls.streamableHttp }
      const results = await resultsOf(
        tool,
        ['echo', { message: 'hello' }],
        ['get-sum', { a: 2, b: 40 }],
        ['get-sum', { a: 'two' }],
        ['get-structured-content', { location: 'Chicago' }],
        ['get-resource-links', { count: 2 }],
        ['get-resource-reference', { resourceType: 'Text', resourceId: 1 }],
        ['get-tiny-image'],
        ['get-annotated-message', { messageType: 'error', includeImage: false }],
        ['trigger-long-running-operation', { duration: 0.2, steps: 2 }],
      )
      expect(results).toEqual([
        'Echo: hello',
        'The sum of 2 and 40 is 42.',
        expect.stringMatching(/^Error: .*-32602/),
        expect.stringContaining('"conditions":'),
        expect.stringMatching(/\(link to a resource: demo:\/\/resource\/dynamic\/\w+\/1, .*text\/plain/),
        expect.stringMatching(/\(resource: demo:\/\/resource\/dynamic\/text\/1, text\/plain\)\nResource 1: /),
        expect.stringContaining('(image/png: given as a file)'),
        'Error: Operation failed',
        expect.stringMatching(/^Long running operation completed/),
      ])
    },
  )

  test.skipIf(!isThere)('files are read and written in their folder only', async () => {
    const [read, written, outside] = await resultsOf(
      { preset: 'filesystem' },
      ['read_text_file', { path: join(directory, 'note.txt') }],
      ['write_file', { path: join(directory, 'new.txt'), content: 'Bring pepper.' }],
      ['read_text_file', { path: '/etc/passwd' }],
    )
    expect(read).toBe('Bring salt.')
    expect(written).toContain('Successfully wrote')
    expect(readFileSync(join(directory, 'new.txt'), 'utf8')).toBe('Bring pepper.')
    expect(outside).toMatch(/^Error: Access denied/)
  })

  test.skipIf(!isThere)('memory outlives its process', async () => {
    const entity = { name: 'Ada', entityType: 'person', observations: ['likes tea'] }
    await resultsOf({ preset: 'memory' }, ['create_entities', { entities: [entity] }])
    const [found] = await resultsOf({ preset: 'memory' }, ['search_nodes', { query: 'tea' }])
    expect(found).toContain('Ada')
  })
})

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as { port: number }
      probe.close(() => resolve(port))
    })
  })
}
