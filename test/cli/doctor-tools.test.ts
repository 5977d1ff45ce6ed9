import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { onEveryDatabase, type TestDatabase } from '../support/databases.ts'
import { environmentOf, runCli, startServer } from '../support/process.ts'
import { startRawMcpServer } from '../support/raw-mcp-server.ts'
import type { ToolServer } from '../support/tool-server.ts'

const NOISY = join(import.meta.dirname, '../support/mcp-noisy.ts')
const inputSchema = { type: 'object', properties: {} }

onEveryDatabase('the doctor and the servers of tools', (kind) => {
  let place: TestDatabase
  let mcp: ToolServer
  beforeAll(async () => {
    place = await kind.create()
    mcp = await startRawMcpServer(() => ({
      result: {
        tools: [
          { name: 'good', inputSchema },
          { name: 'typeless', inputSchema: [] },
          { name: 'wrong', inputSchema: { ...inputSchema, properties: { a: { type: 'any' } } } },
          ...Array.from({ length: 140 }, (_, i) => ({ name: `more_${i}`, inputSchema })),
        ],
      },
    }))
  })
  afterAll(async () => {
    await mcp.close()
    await place.remove()
  })

  test('says which tools are not offered, and why', async () => {
    const server = await startServer(place)
    const create = async (personaName: string, tool: object) => {
      const about = { personaName, personaDescription: 'd', aiSystem: 'rehearsal', model: 'r' }
      const body = { ...about, personaConfiguration: { tools: [{ type: 'mcp', ...tool }] } }
      const answer = await server.call('POST', '/personas', body)
      expect(answer.body).toMatchObject({ personaName })
    }
    await create('Crowded', { url: mcp.url })
    await create('Lonely', { url: 'http://127.0.0.1:9/mcp' })
    server.kill('SIGTERM')
    await server.ended

    const env = environmentOf(place, {
      PORT: '0',
      DRAMATIS_ALLOW_PRIVATE_HOSTS: '127.0.0.1',
      DRAMATIS_MCP_COMMANDS: JSON.stringify({
        noisy: { command: process.execPath, args: [NOISY] },
        gone: { command: '/nowhere/mcp', args: [] },
      }),
    })
    const { stdout, code } = await runCli(['doctor'], env)
    expect(stdout).toMatch(/ok\s+mcp\s+the preset noisy: 1 tools are offered\n/)
    expect(stdout).toMatch(/BAD\s+mcp\s+the preset gone: the MCP server gone cannot be used: .*ENOENT/)
    expect(stdout).toMatch(/note\s+mcp\s+the persona Crowded: .*typeless \(its inputSchema is no object\)/)
    expect(stdout).toMatch(
      /note\s+mcp\s+the persona Crowded: .*left out for its inputSchema: wrong \(.*\/properties\/a\/type/,
    )
    expect(stdout).toMatch(/note\s+mcp\s+the persona Crowded: .*13 of 141 tools are not offered.*more_139/)
    expect(stdout).toMatch(/note\s+mcp\s+the persona Lonely: the MCP server .* cannot be reached/)
    expect(code).toBe(1)
  })
})
