import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { expectError, type Json, type RunningApp, startApp } from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'
import { type McpHttpServer, startMcpServer } from '../support/mcp-server.ts'
import { chatReply, type ProviderServer, startProviderServer } from '../support/provider-server.ts'
import { readConversation, startWithTools, type Whole } from '../support/tools.ts'

const STDIO = join(import.meta.dirname, '../support/mcp-stdio.ts')

onEveryDatabase('tools of MCP servers', (kind) => {
  let server: RunningApp
  let mcp: McpHttpServer
  let provider: ProviderServer
  beforeAll(async () => {
    mcp = await startMcpServer()
    provider = await startProviderServer()
    server = await startApp(kind, {
      DRAMATIS_SECRET_KEY: randomBytes(32).toString('base64'),
      DRAMATIS_ALLOW_PRIVATE_HOSTS: '127.0.0.1',
      DRAMATIS_MCP_COMMANDS: JSON.stringify({
        test: { command: process.execPath, args: [STDIO], env: { MINE: 'of the preset' } },
      }),
      OPENAI_COMPATIBLE_BASE_URL: `${provider.url}/v1`,
      OPENAI_COMPATIBLE_MODEL: 'm',
    })
    await server.call('PUT', '/secrets/TOKEN', { value: 'a-token-for-mcp' })
  })
  afterAll(async () => {
    await server.close()
    await mcp.close()
    await provider.close()
  })
  beforeEach(() => {
    mcp.requests.length = 0
  })

  const chat = (id: string) => server.call<Whole>('POST', `/conversations/${id}/chat`, { message: 'Go' })
  async function resultsOf(tool: Json, ...calls: Json[]): Promise<string[]> {
    const id = await startWithTools(server, [{ type: 'mcp', ...tool }], {
      rehearsal: { text: 'Done.', toolCalls: [calls] },
    })
    const answer = await chat(id)
    expect(answer.body.choices?.[0]?.message.content, answer.text).toBe('Done.')
    const { chatMessages } = await readConversation(server, id)
    return chatMessages.filter(({ role }) => role === 'tool').map(({ content }) => content)
  }
  const add = { name: 'add', input: { a: 2, b: 40 } }

  test('are called over Streamable HTTP, with a secret, and the session is given back', async () => {
    const headers = { authorization: 'Bearer {{secret:TOKEN}}' }
    const calls = [add, { name: 'fail' }, { name: 'picture' }]
    expect(await resultsOf({ url: mcp.url, headers }, ...calls)).toEqual([
      '42',
      'Error: it went wrong',
      '(image/png: not shown)',
    ])
    expect(mcp.requests.map((request) => request.headers.authorization)).toEqual(
      mcp.requests.map(() => 'Bearer a-token-for-mcp'),
    )
    await expect.poll(() => mcp.sessions()).toBe(0)
  })

  test('are called in a process that knows nothing of the server', async () => {
    const [sum, environment = ''] = await resultsOf({ preset: 'test' }, add, { name: 'env_all' })
    expect(sum).toBe('42')
    expect(JSON.parse(environment)).toMatchObject({ MINE: 'of the preset' })
    expect(environment).toContain('PATH')
    expect(environment).not.toMatch(/DRAMATIS|VITEST|OPENAI/)
  })

  test('are offered by name, as they are and as far as they are wanted', async () => {
    const offered = async (tools?: string[]) => {
      const tool = { type: 'mcp', url: mcp.url, ...(tools && { tools }) }
      const id = await startWithTools(server, [tool], {}, { aiSystem: 'openai-compatible', model: 'm' })
      provider.script([chatReply(['Ok'])])
      await chat(id)
      const { tools: sent } = (provider.requests.at(-1)?.body ?? {}) as { tools: { function: Json }[] }
      return sent.map((one) => one.function)
    }
    const all = await offered()
    expect(all.map(({ name }) => name)).toEqual(['add', 'fail', 'picture', 'env_all'])
    expect(all[0]).toMatchObject({ description: 'It can add.', parameters: { type: 'object' } })
    expect((await offered(['env.all', 'add', 'unknown'])).map(({ name }) => name)).toEqual(['add', 'env_all'])
  })

  test('are connected to only when they are called, once their list is known', async () => {
    const tool = { type: 'mcp', url: `${mcp.url}?list` }
    const id = await startWithTools(server, [tool], { rehearsal: { text: 'Done.' } })
    await chat(id)
    expect(mcp.requests.length).toBeGreaterThan(0)
    mcp.requests.length = 0
    await chat(id)
    expect(mcp.requests).toEqual([])
  })

  test('fail the turn when the server cannot be used, and say which', async () => {
    const start = (tool: Json) => startWithTools(server, [{ type: 'mcp', ...tool }], {})
    const nobody = expectError(await chat(await start({ url: 'http://127.0.0.1:9/mcp?key=hidden' })), 'unavailable')
    expect(nobody.message).toBe('an MCP server of this conversation cannot be used: it cannot be reached')
    const logged = JSON.stringify(server.logged)
    expect([logged.includes('the MCP server http://127.0.0.1:9 cannot be used'), logged.includes('hidden')]).toEqual([
      true,
      false,
    ])
    const inside = expectError(
      await chat(await start({ url: mcp.url.replace('127.0.0.1', 'localhost') })),
      'unavailable',
    )
    expect(inside.message).toContain('private address')
    const preset = expectError(await chat(await start({ preset: 'rm' })), 'unprocessable_entity')
    expect(preset.message).toContain('there is no preset rm')
    expect(preset.message).toContain('DRAMATIS_MCP_COMMANDS')
    const both = await server.call('POST', '/conversations', {
      aiSystem: 'rehearsal',
      model: 'r',
      configuration: { tools: [{ type: 'mcp', url: mcp.url, preset: 'x' }] },
    })
    expect(expectError(both, 'bad_request').details[0]?.field).toBe('configuration.tools.0')
  })
})
