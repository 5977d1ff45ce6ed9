import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createKey, createPersona, expectError, type Json, type RunningApp, startApp } from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'

const inputSchema = { type: 'object', properties: { id: { type: 'string' } } }
const TOOLS: Json[] = [
  {
    type: 'http',
    name: 'ask',
    description: 'Asks the oracle.',
    inputSchema,
    method: 'POST',
    url: 'https://canary.example/v1/{id}',
    headers: { 'x-canary': '{{secret:CANARY}}' },
    timeoutMs: 4_711,
    outputSchema: { type: 'object', properties: { canary: { type: 'string' } } },
  },
  { type: 'mcp', url: 'https://canary.example/mcp', headers: { 'x-canary': 'y' }, tools: ['offered'] },
  { type: 'client', name: 'mine', description: 'Is run by the caller.', inputSchema },
]
/** What is seen of them. */
const SHOWN = [
  { type: 'http', name: 'ask', description: 'Asks the oracle.' },
  { type: 'mcp', tools: ['offered'] },
  TOOLS[2],
]

onEveryDatabase('where the tools of a secret persona reach', (kind) => {
  let server: RunningApp
  beforeAll(async () => {
    server = await startApp(kind, { DRAMATIS_SECRET_KEY: randomBytes(32).toString('base64') })
  })
  afterAll(() => server.close())
  const textOf = async (path: string, headers = {}) => (await server.open('GET', path, undefined, headers)).text()

  test('is shown to nobody who talks to it, from the moment on in which it is secret', async () => {
    const configuration = { rehearsal: { text: 'Yes.' }, tools: TOOLS }
    const { personaId } = await createPersona(server, { personaText: 'x', personaConfiguration: configuration })
    const key = { 'idempotency-key': `tools-${personaId}` }
    const create = () =>
      server.call('POST', '/conversations/persona', { personaId, externalUserId: `${personaId}` }, key)
    const id = (await create()).body['conversationId'] as string
    const everything = async () => [
      await textOf(`/conversations/${id}`),
      await textOf('/conversations?pageSize=100'),
      await textOf(`/conversations/persona/${personaId}?includeMessages=true`),
      await textOf(`/conversations/user/${personaId}`),
      (await server.call('PATCH', `/conversations/${id}/set-active`, { isActive: true })).text,
      (await server.call('PATCH', `/conversations/${id}/set-metadata`, { metadata: {} }, key)).text,
      (await create()).text,
      await (await server.open('POST', '/conversations/persona', { personaId, message: 'Hi', stream: true })).text(),
      await textOf(`/conversations/${id}/export`),
      await textOf(`/users/${personaId}/export`),
    ]
    const before = await everything()
    expect(before.filter((text) => text.includes('canary.example')).length).toBe(before.length - 1)
    await server.call('PATCH', `/personas/${personaId}`, { isSecret: true })
    for (const text of await everything()) expect(text).not.toMatch(/canary|4711/i)
    const { body } = await server.call<{ configuration: Json }>('GET', `/conversations/${id}`)
    expect(body.configuration).toEqual({ ...configuration, tools: SHOWN })
    await server.call('PATCH', `/personas/${personaId}`, { isSecret: false })
    expect(await textOf(`/conversations/${id}`)).toContain('canary.example')
  })

  test('is shown of the persona to who may write it, and of its versions likewise', async () => {
    const persona = await createPersona(server, { isSecret: true, personaConfiguration: { tools: TOOLS } })
    const { personaId, defaultVersionId } = persona
    const paths = [`/personas/${personaId}`, `/personas/${personaId}/${defaultVersionId}`, '/personas?pageSize=1']
    const reader = await createKey(server, ['personas:read'])
    const writer = await createKey(server, ['personas:read', 'personas:write'])
    for (const path of paths) {
      expect(await textOf(path, reader)).not.toMatch(/canary|4711/i)
      expect(await textOf(path, writer)).toContain('canary.example')
    }
    const seen = await server.call<{ personaConfiguration: Json }>('GET', paths[1] as string, undefined, reader)
    expect(seen.body.personaConfiguration).toEqual({ tools: SHOWN })
  })

  test('is not told by what goes wrong with a tool either', async () => {
    await server.call('PUT', '/secrets/ELSEWHERE', { value: 'a secret value', hosts: ['elsewhere.example'] })
    const http = { ...TOOLS[0], url: 'https://canary.example/', headers: { a: '{{secret:CANARY}}' } }
    const call = { rehearsal: { text: 'Done.', toolCalls: [[{ name: 'ask', input: {} }]] } }
    const said = async (isSecret: boolean, tool: Json) => {
      const fields = { isSecret, personaConfiguration: { ...call, tools: [tool] } }
      const { personaId } = await createPersona(server, fields)
      const answer = await server.call('POST', '/conversations/persona', { personaId, message: 'Hi' })
      if (answer.status !== 200) return expectError(answer, 'unavailable').message
      const messages = answer.body['chatMessages'] as { role: string; content: string }[]
      return messages.find(({ role }) => role === 'tool')?.content ?? ''
    }
    expect(await said(true, http)).toBe('Error: a secret of this tool is not set.')
    expect(await said(false, http)).toBe('Error: the secret CANARY is not set.')
    const mcp = { type: 'mcp', url: 'https://canary.example/mcp', headers: { a: '{{secret:CANARY}}' } }
    expect(await said(true, mcp)).not.toMatch(/canary/i)
    expect(await said(false, mcp)).toContain('CANARY')
  })
})
