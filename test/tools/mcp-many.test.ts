import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Json, type RunningApp, startApp } from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'
import {
  type Behaviour,
  chatChunk,
  chatReply,
  type ProviderServer,
  startProviderServer,
} from '../support/provider-server.ts'
import { startRawMcpServer } from '../support/raw-mcp-server.ts'
import type { ToolServer } from '../support/tool-server.ts'
import { readConversation, startWithTools } from '../support/tools.ts'

const inputSchema = { type: 'object', properties: {} }
const TOOLS = Array.from({ length: 140 }, (_, i) => ({ name: `tool_${i}`, description: `Number ${i}.`, inputSchema }))
TOOLS.push({ name: 'create_invoice', description: 'Bills a customer.', inputSchema })
const own = { type: 'client', name: 'own', description: 'Mine.', inputSchema }
const MODEL = { aiSystem: 'openai-compatible', model: 'm' }

function callReply(name: string, input: Json): Behaviour {
  const call = { index: 0, id: 'call_0', type: 'function', function: { name, arguments: JSON.stringify(input) } }
  return {
    headers: { 'content-type': 'text/event-stream' },
    pieces: [
      chatChunk([{ index: 0, delta: { role: 'assistant', tool_calls: [call] }, finish_reason: null }]),
      chatChunk([{ index: 0, delta: {}, finish_reason: 'tool_calls' }]),
      'data: [DONE]\n\n',
    ],
  }
}

onEveryDatabase('more tools than a provider takes', (kind) => {
  let server: RunningApp
  let provider: ProviderServer
  let mcp: ToolServer
  let tools: Json[]
  beforeAll(async () => {
    provider = await startProviderServer()
    mcp = await startRawMcpServer((method, params) =>
      method === 'tools/list'
        ? { result: { tools: TOOLS } }
        : { result: { content: [{ type: 'text', text: `${params['name']} was called` }] } },
    )
    tools = [own, { type: 'mcp', url: mcp.url }]
    server = await startApp(kind, {
      DRAMATIS_ALLOW_PRIVATE_HOSTS: '127.0.0.1',
      OPENAI_COMPATIBLE_BASE_URL: `${provider.url}/v1`,
      OPENAI_COMPATIBLE_MODEL: 'm',
    })
  })
  afterAll(async () => {
    await server.close()
    await Promise.all([provider.close(), mcp.close()])
  })
  const offered = (at: number) => {
    const asked = provider.requests.map(({ body }) => body as { tools?: { function: { name: string } }[] })
    // Not those for a name of the conversation.
    const { tools: sent } = asked.filter((body) => body.tools).at(at) ?? {}
    return (sent ?? []).map((one) => one.function.name)
  }

  test('are cut, and callers, the log and the model hear of the same', async () => {
    const warning =
      '299 dramatis "14 of 142 tools are not offered to the model, which takes 128: name those that are needed in tools, or set toolSearch"'
    const id = await startWithTools(server, tools, {}, MODEL)
    for (const path of ['chat', 'chat-sse', 'chat-http2']) {
      provider.script([chatReply(['Ok'])])
      const answer = await server.call('POST', `/conversations/${id}/${path}`, { message: 'Go' })
      expect([answer.status, answer.headers.get('warning')], path).toEqual([200, warning])
      expect(offered(-1)).toHaveLength(128)
      expect(offered(-1).slice(0, 2)).toEqual(['own', 'tool_0'])
    }
    provider.script([chatReply(['Ok'])])
    const begun = await server.call('POST', '/conversations', { ...MODEL, message: 'Go', configuration: { tools } })
    expect(begun.headers.get('warning')).toBe(warning)
    expect(JSON.stringify(server.logged)).toContain('create_invoice')

    provider.script([chatReply(['Ok'])])
    const few = [own, { type: 'mcp', url: mcp.url, tools: ['create_invoice'] }]
    const fewer = await startWithTools(server, few, {}, MODEL)
    const quiet = await server.call('POST', `/conversations/${fewer}/chat`, { message: 'Go' })
    expect([quiet.headers.get('warning'), offered(-1)]).toEqual([null, ['own', 'create_invoice']])
  })

  test('are searched by the model where toolSearch is on', async () => {
    const id = await startWithTools(server, tools, { toolSearch: true }, MODEL)
    provider.script([
      callReply('find_tools', { query: 'invoices for a customer' }),
      callReply('create_invoice', {}),
      chatReply(['Billed.']),
    ])
    const answer = await server.call('POST', `/conversations/${id}/chat`, { message: 'Bill it' })
    expect([answer.status, answer.headers.get('warning')], answer.text).toEqual([200, null])
    expect([offered(-3), offered(-2)]).toEqual([
      ['own', 'find_tools'],
      ['own', 'find_tools', 'create_invoice'],
    ])
    const { chatMessages } = await readConversation(server, id)
    expect(chatMessages.filter(({ role }) => role === 'tool').map(({ content }) => content)).toEqual([
      'create_invoice: Bills a customer.',
      'create_invoice was called',
    ])
  })

  test('a search for nothing that is there says so, and for nothing at all is an error', async () => {
    const id = await startWithTools(server, tools, {
      toolSearch: true,
      rehearsal: {
        text: 'Done.',
        toolCalls: [
          [
            { name: 'find_tools', input: { query: 'weather' } },
            { name: 'find_tools', input: { query: ' ' } },
          ],
        ],
      },
    })
    await server.call('POST', `/conversations/${id}/chat`, { message: 'Go' })
    const { chatMessages } = await readConversation(server, id)
    expect(chatMessages.filter(({ role }) => role === 'tool').map(({ content }) => content)).toEqual([
      'No tool was found. Try other words.',
      'Error: the input lacks query.',
    ])
  })
})
