import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { createReplyLog } from '../../server/src/features/turns/reply/reply-log.ts'
import { createApprovals } from '../../server/src/features/turns/running/approvals.ts'
import { createOrganization, expectError, type Json, type RunningApp, serve, startApp } from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'
import { startToolServer, type ToolServer } from '../support/tool-server.ts'
import { itemsOf, readConversation, shapeOf, startWithTools } from '../support/tools.ts'

onEveryDatabase('calls that need an approval', (kind) => {
  let server: RunningApp
  let service: ToolServer
  const env = { DRAMATIS_ALLOW_PRIVATE_HOSTS: '127.0.0.1' }
  beforeAll(async () => {
    service = await startToolServer()
    server = await startApp(kind, env)
  })
  afterAll(async () => {
    await server.close()
    await service.close()
  })
  beforeEach(() => {
    service.requests.length = 0
  })

  const tool = (name: string, more: Json = {}): Json => ({
    type: 'http',
    name,
    description: 'Does it.',
    inputSchema: { type: 'object' },
    method: 'POST',
    url: `${service.url}/${name}`,
    requiresApproval: true,
    ...more,
  })
  const script = (...names: string[]) => ({
    rehearsal: { text: 'Done.', toolCalls: [names.map((name) => ({ name }))] },
  })

  /** Sends a message, and reads on until the run waits. */
  async function untilWaiting(id: string, on = server) {
    const response = await on.open('POST', `/conversations/${id}/chat-sse`, { message: 'Go' })
    const runId = response.headers.get('x-dramatis-run-id') as string
    const reader = (response.body as ReadableStream<Uint8Array>).getReader()
    const decoder = new TextDecoder()
    let text = ''
    while (!text.includes('"status":"waiting"')) {
      const { done, value } = await reader.read()
      if (done) throw new Error(`ended without waiting: ${text}`)
      text += decoder.decode(value, { stream: true })
    }
    const rest = async () => {
      for (;;) {
        const { done, value } = await reader.read()
        if (done) return text
        text += decoder.decode(value, { stream: true })
      }
    }
    const path = `/conversations/${id}/runs/${runId}`
    const waitingFor =
      itemsOf(text.slice(0, text.lastIndexOf('\n\n') + 2)).items.find(({ status }) => status)?.waitingFor ?? []
    const decide = (what: string, toolCallId = waitingFor[0] ?? '', at = server) =>
      at.call('POST', `${path}/${what}`, { toolCallId })
    return { path, waitingFor, decide, rest }
  }
  const statusOf = async (path: string) => (await server.call('GET', path)).body['status']

  test('wait, shown in the stream and in the run, and are made when they are allowed', async () => {
    const id = await startWithTools(
      server,
      [tool('pay'), tool('look', { requiresApproval: false })],
      script('pay', 'look'),
    )
    const { path, waitingFor, decide, rest } = await untilWaiting(id)
    expect(waitingFor).toHaveLength(1)
    expect(await statusOf(path)).toBe('waiting')
    await service.asked('/look')
    expect(service.requests.map((request) => request.path)).toEqual(['/look'])
    expectError(await server.call('POST', `/conversations/${id}/chat`, { message: 'now' }), 'conflict')
    const decided = await decide('approve')
    expect(decided.body).toMatchObject({ toolCallId: waitingFor[0], decision: 'approved' })
    const text = await rest()
    const shape = shapeOf(itemsOf(text).items)
    expect(shape.slice(3).sort()).toEqual(['end:stop', 'result:pay', 'text'].sort())
    expect(shape.slice(1, 3).sort()).toEqual(['result:look', 'waiting'])
    expect(await statusOf(path)).toBe('completed')
    expect((await server.call('GET', `${path}/events`)).text).toBe(text)
    expect(service.requests.map((request) => request.path)).toEqual(['/look', '/pay'])
  })

  test('are not made when they are refused, each for itself', async () => {
    const id = await startWithTools(server, [tool('pay'), tool('ship')], script('pay', 'ship'))
    const { path, waitingFor, decide, rest } = await untilWaiting(id)
    expect(waitingFor).toHaveLength(2)
    expect((await decide('reject', waitingFor[0])).status).toBe(200)
    expect((await decide('approve', waitingFor[1])).status).toBe(200)
    await rest()
    expect(service.requests.map((request) => request.path)).toEqual(['/ship'])
    const results = (await readConversation(server, id)).chatMessages.filter(({ role }) => role === 'tool')
    expect(results.map(({ name, content }) => [name, content])).toEqual([
      ['pay', 'Error: the user has not allowed this call.'],
      ['ship', expect.stringContaining('/ship')],
    ])
    expect(await statusOf(path)).toBe('completed')
  })

  test('can be decided once, and only while the run waits', async () => {
    const id = await startWithTools(server, [tool('pay'), tool('ship')], script('pay', 'ship'))
    const { path, waitingFor, decide, rest } = await untilWaiting(id)
    expectError(await decide('approve', 'call_other'), 'bad_request')
    expectError(await server.call('POST', `${path}/approve`, {}), 'bad_request')
    const other = { 'x-hl-api-key': (await createOrganization(server)).key }
    const theirs = await server.call('POST', `${path}/approve`, { toolCallId: waitingFor[0] }, other)
    expectError(theirs, 'not_found')
    const [one, two] = await Promise.all([decide('reject'), decide('reject')])
    expect([one.status, two.status].filter((status) => status === 200).length).toBeGreaterThanOrEqual(1)
    expect((await decide('approve')).status).not.toBe(200)
    await decide('reject', waitingFor[1])
    await rest()
    expectError(await decide('reject'), 'conflict')
    expect(service.requests).toEqual([])
  })

  test('are not made when their time is over, and then nobody is told that they are', async () => {
    const id = await startWithTools(server, [tool('pay')], script('pay'))
    const { path, waitingFor, decide } = await untilWaiting(id)
    // The same rows, with less patience than the server has.
    const { database, clock, ids, organizations } = server.app.services
    const impatient = createApprovals({ database, ids, clock, isAlone: true, patienceMs: 1 })
    const organizationId = (await organizations.first())?.id ?? ''
    const run = { organizationId, conversationId: id, runId: path.split('/').at(-1) ?? '', fence: 1, isWaiting: true }
    const place = { pause: () => {}, resume: () => {}, leave: () => {} }
    const faults: unknown[] = []
    const silent = createReplyLog({ database, patienceMs: 0 }).open({
      ...run,
      stored: [],
      onLost: (reason) => faults.push(reason),
    })
    const ask = impatient.forRun({ ...run, place }, silent, (error) => faults.push(error))
    const call = { id: waitingFor[0] ?? '', name: 'pay', input: {} }
    expect(await ask(call, new AbortController().signal)).toBe('expired')
    expect(faults).toEqual([])
    for (const what of ['approve', 'reject']) expectError(await decide(what), 'conflict')
    expect(service.requests).toEqual([])
    await server.call('POST', `${path}/cancel`)
  })

  test('are not made when the run is cancelled meanwhile', async () => {
    const id = await startWithTools(server, [tool('pay')], script('pay'))
    const { path, rest } = await untilWaiting(id)
    const receipt = await server.call('POST', `${path}/cancel`)
    expect(receipt.body).toMatchObject({ status: 'cancelled' })
    expect(shapeOf(itemsOf(await rest()).items)).toEqual(['calls:pay', 'waiting', 'result:pay', 'end:cancelled'])
    expect(service.requests).toEqual([])
  })

  test.runIf(kind.name === 'postgres')('can be decided on another node', async () => {
    const node = await serve(server.place, env)
    const id = await startWithTools(server, [tool('pay')], script('pay'))
    const { decide, rest } = await untilWaiting(id)
    expect((await decide('approve', undefined, node)).status).toBe(200)
    expect(shapeOf(itemsOf(await rest()).items).at(-1)).toBe('end:stop')
    expect(service.requests).toHaveLength(1)
    await node.close()
  })

  test('still wait when the server has stopped and started again', async () => {
    const place = await kind.create()
    const lease = { ...env, DRAMATIS_LEASE_MS: '500' }
    const first = await serve(place, lease)
    const id = await startWithTools(first, [tool('pay')], script('pay'))
    const { path, waitingFor, rest } = await untilWaiting(id, first)
    await first.close()
    const shown = await rest()
    expect(shown).toContain('event: detached')
    const second = await serve(place, lease)
    expect((await second.call('GET', path)).body['status']).toBe('waiting')
    const reading = second.call('GET', `${path}/events`)
    expect((await second.call('POST', `${path}/approve`, { toolCallId: waitingFor[0] })).status).toBe(200)
    const { text } = await reading
    expect(shapeOf(itemsOf(text).items)).toEqual(['calls:pay', 'waiting', 'result:pay', 'text', 'end:stop'])
    expect(text.startsWith(shown.slice(0, shown.indexOf('event: detached')))).toBe(true)
    expect(service.requests).toHaveLength(1)
    await second.close()
    await place.remove()
  })
})
