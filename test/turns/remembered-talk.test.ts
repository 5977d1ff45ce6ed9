import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { createOrganization, expectError, type Json, type RunningApp, serve } from '../support/app.ts'
import { type Conversation, createLong, SMALL_ARCHIVE } from '../support/archive.ts'
import { onEveryDatabase, type TestDatabase } from '../support/databases.ts'
import { chatChunk, chatReply, type ProviderServer, startProviderServer } from '../support/provider-server.ts'
import type { Whole } from '../support/tools.ts'
import { messagesRead, watchDatabase } from '../support/watch-database.ts'

type Said = { role: string; content: string }

/**
 * A server remembers the talks of its last turns. `here` is one that does; `there` is where the talk is changed behind its
 * back: another server on PostgreSQL, and the same one on SQLite, whose file has one.
 */
onEveryDatabase('a talk that a server remembers', (kind) => {
  let place: TestDatabase
  let provider: ProviderServer
  let env: Record<string, string>
  let here: RunningApp
  let there: RunningApp
  let replies = 0
  beforeAll(async () => {
    place = await kind.create()
    provider = await startProviderServer()
    env = { OPENAI_COMPATIBLE_BASE_URL: `${provider.url}/v1`, ...SMALL_ARCHIVE }
    here = await serve(place, env)
    there = kind.name === 'postgres' ? await serve(place, env) : here
  })
  beforeEach(() => {
    provider.always(() => chatReply([`reply ${++replies}`, ' of many']))
  })
  afterAll(async () => {
    await here.close()
    if (there !== here) await there.close()
    await provider.close()
    await place.remove()
  })

  const read = async (id: string) => (await there.call<Conversation>('GET', `/conversations/${id}`)).body
  const start = async (more: Json = {}) => {
    const answer = await here.call<Conversation>('POST', '/conversations', {
      aiSystem: 'openai-compatible',
      model: 'm',
      systemMessage: 'Be kind.',
      ...more,
    })
    expect(answer.status).toBe(200)
    return answer.body.conversationId
  }
  const send = (on: RunningApp, id: string, message = `message ${provider.requests.length}`, query = '') =>
    on.call('PATCH', `/conversations/${id}/chat${query}`, { message })
  const sent = () => (provider.requests.at(-1)?.body as { messages: Said[] } | undefined)?.messages ?? []
  /** The whole talk as it is stored, as a provider accepts it. */
  const stored = async (id: string) => asSent((await read(id)).chatMessages)
  /** Sends a message, and expects the model to be sent the talk as it stands now. */
  async function say(on: RunningApp, id: string) {
    const before = await stored(id)
    const content = `message ${provider.requests.length}`
    expect((await send(on, id, content)).status).toBe(200)
    expect(sent()).toEqual(asSent([...before, { role: 'user', content }]))
  }
  /** A talk of two exchanges, which this server remembers. */
  async function talk(more: Json = {}) {
    const id = await start(more)
    await say(here, id)
    await say(here, id)
    return id
  }
  const lastOfUser = async (id: string) =>
    (await read(id)).chatMessages.findLast(({ role }) => role === 'user')?.messageId ?? ''
  const edit = async (on: RunningApp, id: string) =>
    on.call('PATCH', `/conversations/${id}/messages/${await lastOfUser(id)}`, { content: 'rather this' })
  const regenerate = (on: RunningApp, id: string) => on.call('POST', `/conversations/${id}/regenerate`)

  test('is sent without being read', async () => {
    const id = await talk()
    const read = async (on: RunningApp) => messagesRead(await watchDatabase(on, () => send(on, id)))
    expect(await read(here)).toEqual([])
    if (there !== here) {
      expect(await read(there)).toEqual([7])
      expect(await read(there)).toEqual([])
      expect(await read(here)).toEqual([11])
    }
  })

  test('is sent as a whole when a turn has come in between', async () => {
    const id = await talk()
    for (const on of [there, here, there, there, here, here]) await say(on, id)
  })

  test('is sent as it is after an edit', async () => {
    const id = await talk()
    expect((await edit(there, id)).status).toBe(200)
    await say(here, id)
    expect(sent().map(({ content }) => content)).toContain('rather this')
  })

  test('is sent as it is after another try at the last reply', async () => {
    const id = await talk()
    const [, old] = (await stored(id)).filter(({ role }) => role === 'assistant')
    expect((await regenerate(there, id)).status).toBe(200)
    await say(here, id)
    expect(sent().map(({ content }) => content)).not.toContain(old?.content)
  })

  test('is sent as it is after tries and turns that have failed', async () => {
    const id = await talk()
    for (const fail of [() => regenerate(there, id), () => send(there, id), () => edit(there, id)]) {
      provider.script([{ status: 401, pieces: ['no'] }])
      expect((await fail()).status).toBeGreaterThanOrEqual(400)
      await say(here, id)
    }
  })

  test('is sent as it is after a message that has waited in line', async () => {
    const id = await talk()
    const gate = Promise.withResolvers<void>()
    provider.script([{ ...chatReply(['late']), before: gate.promise }])
    const requests = provider.requests.length
    const first = send(here, id, 'first')
    await expect.poll(() => provider.requests.length).toBe(requests + 1)
    const waiting = send(there, id, 'waiting', '?onBusy=wait')
    await expect
      .poll(async () => (await there.call<{ data: Json[] }>('GET', `/conversations/${id}/runs`)).body.data.length)
      .toBe(4)
    gate.resolve()
    expect([(await first).status, (await waiting).status]).toEqual([200, 200])
    await say(here, id)
    expect(
      sent()
        .map(({ content }) => content)
        .slice(-5),
    ).toEqual(['first', expect.anything(), 'waiting', expect.anything(), expect.anything()])
  })

  test('is sent as it is when a reply was cancelled', async () => {
    const id = await talk()
    provider.script([chatReply(['broken', ' off'], { finishReason: null, ending: 'hang' })])
    const stream = await there.open('POST', `/conversations/${id}/chat-sse`, { message: 'Stop!' })
    const runId = stream.headers.get('x-dramatis-run-id')
    expect((await here.call('POST', `/conversations/${id}/runs/${runId}/cancel`)).status).toBe(200)
    await stream.text()
    await say(here, id)
    expect(sent().map(({ content }) => content)).toContain('broken off')
  })

  test('is sent with the calls in it, whether they were answered or not', async () => {
    const look = { type: 'client', name: 'look', description: 'Looks.', inputSchema: { type: 'object' } }
    const id = await start({ configuration: { tools: [look] } })
    /** Lets the model call, and gives back the call's id. */
    const callFor = async (on: RunningApp) => {
      const call = { index: 0, id: `call_${++replies}`, function: { name: 'look', arguments: '{}' } }
      const pieces = [chatChunk([{ delta: { tool_calls: [call] }, finish_reason: 'tool_calls' }]), 'data: [DONE]\n\n']
      provider.script([{ headers: { 'content-type': 'text/event-stream' }, pieces }])
      const { body } = await send(on, id)
      return (body as unknown as Whole).choices[0]?.message.toolCalls?.[0]?.toolCallId ?? ''
    }
    /** What is sent next begins with all that was sent before, whichever server sends it. */
    const expectMore = async (next: () => Promise<unknown>, roles: string[]) => {
      const before = sent()
      await next()
      expect(sent().slice(0, before.length)).toEqual(before)
      expect(
        sent()
          .slice(before.length)
          .map(({ role }) => role),
      ).toEqual(roles)
    }
    await callFor(here)
    await expectMore(() => send(here, id), ['assistant', 'tool', 'user'])
    let call = ''
    const again = async () => {
      call = await callFor(here)
    }
    await expectMore(again, ['assistant', 'user'])
    const results = () => ({ results: [{ toolCallId: call, content: 'nothing to see' }] })
    await expectMore(() => there.call('POST', `/conversations/${id}/tool-results`, results()), ['assistant', 'tool'])
    for (const on of [here, here, there, here]) await expectMore(() => send(on, id), ['assistant', 'user'])
  })

  test('is not gone on with when it is deleted', async () => {
    const id = await talk()
    const requests = provider.requests.length
    expect((await there.call('DELETE', `/conversations/${id}`)).status).toBe(204)
    expectError(await send(here, id), 'gone')
    expect(provider.requests).toHaveLength(requests)
  })

  test('is not gone on with when it is inactive, and then again', async () => {
    const id = await talk()
    const requests = provider.requests.length
    const setActive = (isActive: boolean) => there.call('PATCH', `/conversations/${id}/set-active`, { isActive })
    await setActive(false)
    expectError(await send(here, id), 'forbidden')
    expect(provider.requests).toHaveLength(requests)
    await setActive(true)
    await say(here, id)
  })

  test('gets a name again when the one that it had was taken away', async () => {
    const id = await talk()
    const nameOf = async () => (await there.call('GET', `/conversations/${id}`)).body['conversationName']
    expect(await nameOf()).not.toBeNull()
    await there.call('PATCH', `/conversations/${id}/set-conversation-name`, { conversationName: null })
    expect(await nameOf()).toBeNull()
    await say(here, id)
    expect(await nameOf()).not.toBeNull()
  })

  test('is not gone on with when it is erased', async () => {
    const id = await talk()
    const requests = provider.requests.length
    expect((await there.call('DELETE', `/conversations/${id}?erase=true`)).status).toBe(204)
    expectError(await send(here, id), 'not_found')
    expect(provider.requests).toHaveLength(requests)
  })

  test('is not gone on with when its user is erased', async () => {
    const externalUserId = `user-${crypto.randomUUID()}`
    const id = await talk({ externalUserId })
    const requests = provider.requests.length
    expect((await there.call('DELETE', `/users/${externalUserId}`)).status).toBeLessThan(300)
    expectError(await send(here, id), 'not_found')
    expect(provider.requests).toHaveLength(requests)
  })

  test("is nobody else's", async () => {
    const id = await talk()
    const { key } = await createOrganization(here)
    const requests = provider.requests.length
    const answer = await here.call('PATCH', `/conversations/${id}/chat`, { message: 'Hi' }, { 'x-hl-api-key': key })
    expectError(answer, 'not_found')
    expect(provider.requests).toHaveLength(requests)
    await say(here, id)
  })

  test('is sent as a whole when its older part has been archived', async () => {
    const long = await createLong(here, 200, { aiSystem: 'openai-compatible', model: 'm' })
    const id = long.conversationId
    await send(here, id)
    const whole = sent()
    expect(whole).toHaveLength(202)
    expect(await there.app.archiver.round()).toMatchObject({ isComplete: true, failures: 0 })
    expect((await read(id)).areChatMessagesInBlob).toBe(true)
    for (const on of [here, there, here]) {
      const before = sent()
      const newest = (await read(id)).chatMessages.at(-1)
      await send(on, id, 'more')
      expect(sent()).toEqual([...before, ...asSent([newest as Said]), { role: 'user', content: 'more' }])
    }
  })

  test('is sent as far as the window goes, when only part of it is remembered', async () => {
    const id = await start({ configuration: { contextWindow: 1_024, maxTokens: 200 } })
    const long = 'lorem ipsum dolor '.repeat(20)
    for (let n = 0; n < 10; n++) {
      const before = await stored(id)
      const on = n % 3 === 0 ? there : here
      await send(on, id, `${n} ${long}`)
      const [system, ...history] = sent()
      expect(system?.role).toBe('system')
      expect(history[0]?.role).toBe('user')
      expect([...before, { role: 'user', content: `${n} ${long}` }].slice(-history.length)).toEqual(history)
    }
    expect(sent().length).toBeGreaterThan(5)
    expect(sent().length).toBeLessThan(20)
  })

  test('keeps the name that it is given elsewhere', async () => {
    const id = await start()
    await there.call('PATCH', `/conversations/${id}/set-conversation-name`, { conversationName: 'Ours' })
    await say(here, id)
    await there.call('PATCH', `/conversations/${id}/set-conversation-name`, { conversationName: 'Theirs' })
    await say(here, id)
    expect((await read(id))['conversationName']).toBe('Theirs')
  })

  test('is sent as it is, whatever was done to it and wherever', async () => {
    const act = fc.record({
      on: fc.constantFrom('here', 'there'),
      what: fc.constantFrom('say', 'say', 'say', 'edit', 'regenerate', 'fail', 'fail to edit', 'fail to regenerate'),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(act, { minLength: 4, maxLength: 12 }), async (acts) => {
        const id = await start()
        await say(here, id)
        for (const { on, what } of acts) {
          const server = on === 'here' ? here : there
          if (what.startsWith('fail')) provider.script([{ status: 401, pieces: ['no'] }])
          if (what === 'say') await say(server, id)
          else if (what === 'fail') await send(server, id)
          else if (what.endsWith('edit')) await edit(server, id)
          else await regenerate(server, id)
        }
        await say(here, id)
      }),
      { numRuns: 8 },
    )
  })

  // The last, because it takes the server away.
  test('is sent as a whole when the server has started again', async () => {
    const id = await talk()
    await here.close()
    if (there !== here) await say(there, id)
    here = await serve(place, env)
    if (kind.name === 'sqlite') there = here
    await say(here, id)
    await say(here, id)
  })
})

/** Messages in turn: those of one side that stand together are sent as one. */
function asSent(messages: readonly Said[]): Said[] {
  const merged: Said[] = []
  for (const { role, content } of messages) {
    const last = merged.at(-1)
    if (last?.role === role) last.content += `\n\n${content}`
    else merged.push({ role, content })
  }
  return merged
}
