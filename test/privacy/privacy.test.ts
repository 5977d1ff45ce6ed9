import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  createConversation,
  createKey,
  createOrganization,
  createPersona,
  expectError,
  type Json,
  type RunningApp,
  startApp,
} from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'

type Line = Json & { type: string; role?: string; content?: string; feedbacks?: Json[] }

const GENERAL = { aiSystem: 'rehearsal', model: 'rehearsal' }
const linesOf = (text: string) =>
  text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Line)

onEveryDatabase('an export', (kind) => {
  let server: RunningApp
  beforeAll(async () => {
    server = await startApp(kind)
  })
  afterAll(() => server.close())

  const download = async (path: string) => {
    const response = await server.open('GET', path)
    return { status: response.status, headers: response.headers, text: await response.text() }
  }
  const say = (id: string, message: string) =>
    server.call<{ messageId: string; runId: string }>('PATCH', `/conversations/${id}/chat`, { message })

  test('of a conversation has a line for it and one for each message, with its feedback', async () => {
    const id = await createConversation(server)
    const { messageId } = (await say(id, 'Hello\nthere')).body
    await server.call('PATCH', `/conversations/${id}/set-score/${messageId}`, {
      score: 3,
      comments: 'Fine',
      tags: ['a'],
    })
    const { status, headers, text } = await download(`/conversations/${id}/export`)
    expect([status, headers.get('content-type')]).toEqual([200, 'application/x-ndjson; charset=utf-8'])
    expect(headers.get('content-disposition')).toBe(`attachment; filename="conversation-${id}.jsonl"`)
    const [first, ...messages] = linesOf(text)
    const { chatMessages, ...conversation } = (await server.call('GET', `/conversations/${id}`)).body
    expect(first).toEqual({ type: 'conversation', createdAt: expect.any(String), ...conversation })
    expect(messages).toEqual(
      (chatMessages as Json[]).map((message) => ({ type: 'message', conversationId: id, ...message })),
    )
    expect(messages.at(-1)?.feedbacks).toMatchObject([{ score: 3, comments: 'Fine' }])
    expect((await download(`/conversations/${id}/export?format=jsonl`)).text).toBe(text)
  })

  test('in Markdown can be read, and in the format for fine-tuning ends with a reply', async () => {
    const id = await createConversation(server)
    await say(id, 'Where is "breakfast"?')
    const { messageId } = (await say(id, 'And lunch?')).body
    await server.call('PATCH', `/conversations/${id}/set-score/${messageId}`, { score: -2, comments: 'Not\nthere' })
    await server.call('PATCH', `/conversations/${id}/set-conversation-name`, { conversationName: 'Meals' })
    const markdown = await download(`/conversations/${id}/export?format=markdown`)
    expect(markdown.headers.get('content-type')).toBe('text/markdown; charset=utf-8')
    expect(markdown.headers.get('content-disposition')).toContain(`conversation-${id}.md`)
    expect(markdown.text).toMatch(/^# Meals\n\n- Conversation: [0-9a-f-]{36}\n- Began: /)
    expect(markdown.text).toMatch(
      /\n## User, \S+Z\n\n> And lunch\?\n\n## Assistant, \S+Z\n\n> One two three\.\n\n- Feedback -2: Not there\n$/,
    )

    const replies = await download(`/conversations/${id}/export?format=openai`)
    expect(replies.headers.get('content-disposition')).toContain(`conversation-${id}.openai.jsonl`)
    const talk = [
      { role: 'system', content: 'You are Ada.' },
      { role: 'assistant', content: 'Hello from Ada.' },
      { role: 'user', content: 'Where is "breakfast"?' },
      { role: 'assistant', content: 'One two three.' },
      { role: 'user', content: 'And lunch?' },
      { role: 'assistant', content: 'One two three.' },
    ]
    expect(linesOf(replies.text)).toEqual([{ messages: talk }])

    const history = [
      { role: 'user', content: 'Anybody?' },
      { role: 'tool', content: '7', toolCallId: 'call_1', name: 'clock' },
      { role: 'assistant', content: 'Yes' },
      { role: 'user', content: 'Unanswered' },
    ]
    const open = await server.call('POST', '/conversations', { ...GENERAL, messages: history })
    const [line] = linesOf((await download(`/conversations/${open.body['conversationId']}/export?format=openai`)).text)
    expect(line?.['messages']).toEqual([
      { role: 'user', content: 'Anybody?' },
      { role: 'tool', tool_call_id: 'call_1', content: '7' },
      { role: 'assistant', content: 'Yes' },
    ])
    const silent = await server.call('POST', '/conversations', { ...GENERAL, messages: history.slice(3) })
    expect((await download(`/conversations/${silent.body['conversationId']}/export?format=openai`)).text).toBe('')
  })

  test('has no system text of a secret persona, whoever asks', async () => {
    const persona = await createPersona(server, { isSecret: true, personaText: 'The hidden recipe' }, { text: 'Yes.' })
    const started = await server.call('POST', '/conversations/persona', {
      personaId: persona['personaId'],
      externalUserId: 'curious',
      message: 'Hm?',
    })
    for (const format of ['jsonl', 'markdown', 'openai']) {
      const { status, text } = await download(
        `/conversations/${started.body['conversationId']}/export?format=${format}`,
      )
      expect([status, text.includes('Hm?'), text.includes('hidden recipe')]).toEqual([200, true, false])
    }
    const { text } = await download('/users/curious/export')
    expect([text.includes('Hm?'), text.includes('hidden recipe')]).toEqual([true, false])
  })

  test('of a user has everything of the user, deleted and replaced things too, and nothing of others', async () => {
    const user = 'Müller/7 & "son"'
    const path = `/users/${encodeURIComponent(user)}/export`
    const start = async (externalUserId: string, text: string) =>
      (
        await server.call('POST', '/conversations', {
          ...GENERAL,
          externalUserId,
          message: text,
          configuration: { rehearsal: { text: `re ${text}` } },
        })
      ).body['conversationId'] as string
    const kept = await start(user, 'first words')
    const deleted = await start(user, 'words of a deleted one')
    await start('Müller/8', 'words of somebody else')
    const messages = (await server.call<{ chatMessages: Json[] }>('GET', `/conversations/${kept}`)).body.chatMessages
    await server.call('PATCH', `/conversations/${kept}/messages/${messages[0]?.['messageId']}`, {
      content: 'other words',
    })
    await server.call('PATCH', `/conversations/${kept}/set-score`, { score: 5, scoreText: 'well done' })
    await server.call('DELETE', `/conversations/${deleted}`)

    const { status, headers, text } = await download(path)
    expect([status, headers.get('content-disposition')]).toEqual([200, 'attachment; filename="user.jsonl"'])
    const lines = linesOf(text)
    const short = ({ type, conversationId, content, status: how }: Line) => [type, conversationId, content ?? how ?? '']
    expect(lines.map(short)).toEqual([
      ['conversation', kept, ''],
      ['message', kept, 'other words'],
      ['message', kept, 're first words'],
      ['replacedMessage', kept, 'first words'],
      ['replacedMessage', kept, 're first words'],
      ['run', kept, 'completed'],
      ['run', kept, 'completed'],
      ['conversation', deleted, ''],
      ['message', deleted, 'words of a deleted one'],
      ['message', deleted, 're words of a deleted one'],
      ['run', deleted, 'completed'],
    ])
    expect(lines[0]).toMatchObject({ isDeleted: false, score: 5, scoreText: 'well done', externalUserId: user })
    expect(lines[7]).toMatchObject({ isDeleted: true })
    expect(lines[3]).toMatchObject({ replacedByRunId: lines[5]?.['runId'] })
    expect(lines[5]).not.toHaveProperty('attempts')
    expect(text).not.toContain('somebody else')
  })

  test('of 10,000 messages comes in pieces, all of them and in order', async () => {
    const messages = Array.from({ length: 10_000 }, (_, i) => ({
      role: i % 2 ? 'assistant' : 'user',
      content: `m${i}`,
    }))
    const created = await server.call('POST', '/conversations', { ...GENERAL, externalUserId: 'long', messages })
    for (const path of [`/conversations/${created.body['conversationId']}/export`, '/users/long/export']) {
      const response = await server.open('GET', path)
      let pieces = 0
      let text = ''
      for await (const piece of (response.body as ReadableStream<Uint8Array>).pipeThrough(new TextDecoderStream())) {
        pieces++
        text += piece
      }
      expect(pieces).toBeGreaterThan(10)
      const contents = linesOf(text)
        .filter(({ type }) => type === 'message')
        .map(({ content }) => content)
      expect(contents).toEqual(messages.map(({ content }) => content))
    }
  })

  test('needs conversations:read, and shows nothing of other organizations, deleted or unknown things', async () => {
    const id = await createConversation(server)
    await server.call('POST', '/conversations', { ...GENERAL, externalUserId: 'ours' })
    const reader = await createKey(server, ['conversations:read'])
    const writer = await createKey(server, ['conversations:write', 'personas:read', 'feedback:read'])
    const other = { 'x-hl-api-key': (await createOrganization(server)).key }
    for (const path of [`/conversations/${id}/export`, '/users/ours/export']) {
      expect((await server.open('GET', path, undefined, reader)).status).toBe(200)
      expectError(await server.call('GET', path, undefined, writer), 'forbidden')
      expectError(await server.call('GET', path, undefined, other), 'not_found')
    }
    expectError(await server.call('DELETE', '/users/ours', undefined, reader), 'forbidden')
    expect((await server.call('DELETE', '/users/ours', undefined, other)).status).toBe(204)
    expect((await server.open('GET', '/users/ours/export')).status).toBe(200)
    expectError(await server.call('GET', '/users/nobody/export'), 'not_found')
    expectError(await server.call('GET', `/conversations/${id}/export?format=pdf`), 'bad_request')
    expectError(await server.call('GET', '/conversations/nonsense/export'), 'bad_request')
    await server.call('DELETE', `/conversations/${id}`)
    expectError(await server.call('GET', `/conversations/${id}/export`), 'gone')
  })
})
