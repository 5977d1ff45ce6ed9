import { readFileSync, rmSync } from 'node:fs'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { openBlobs } from '../../server/src/blobs/open-blobs.ts'
import { createAttachmentService } from '../../server/src/features/attachments/attachment-service.ts'
import { createBlobSweeper } from '../../server/src/features/unclaimed-blobs/blob-sweeper.ts'
import { createOrganization, expectError, type Json, parseSse, type RunningApp, startApp } from '../support/app.ts'
import { blobFiles, read, SMALL_ARCHIVE, transcript } from '../support/archive.ts'
import { type AttachmentOnTheWire, GIF, inline, PDF, PNG, upload } from '../support/attachments.ts'
import { inspect, tablesWith } from '../support/canaries.ts'
import { onEveryDatabase } from '../support/databases.ts'
import { chatReply, type ProviderServer, startProviderServer } from '../support/provider-server.ts'

const REHEARSAL = { aiSystem: 'rehearsal', model: 'rehearsal' }
const BLIND = { aiSystem: 'openai-compatible', model: 'm' }
const SEEING = { ...BLIND, configuration: { attachments: ['image', 'pdf'] } }
const NOTE = (name: string, type: string) => `[A file was attached here that you cannot see: "${name}" (${type})]`
const PNG_URL = `data:image/png;base64,${PNG.toString('base64')}`
const DAY_MS = 24 * 3_600_000

onEveryDatabase('attachments', (kind) => {
  let server: RunningApp
  let provider: ProviderServer
  beforeAll(async () => {
    provider = await startProviderServer()
    server = await startApp(kind, {
      ...SMALL_ARCHIVE,
      DRAMATIS_ATTACHMENT_LIMIT: '20000',
      OPENAI_COMPATIBLE_BASE_URL: `${provider.url}/v1`,
      OPENAI_COMPATIBLE_MODEL: 'm',
      OPENAI_API_KEY: 'k',
      OPENAI_BASE_URL: `${provider.url}/v1`,
      ANTHROPIC_API_KEY: 'k',
      ANTHROPIC_BASE_URL: provider.url,
      GEMINI_API_KEY: 'k',
      GOOGLE_GENERATIVE_AI_BASE_URL: `${provider.url}/v1beta`,
    })
  })
  afterAll(async () => {
    await server.close()
    await provider.close()
  })
  beforeEach(() => {
    provider.requests.length = 0
  })

  const start = async (model: Json = REHEARSAL, more: Json = {}): Promise<string> => {
    const { status, body, text } = await server.call('POST', '/conversations', { ...model, ...more })
    expect([status, text.slice(0, 300)]).toEqual([200, expect.anything()])
    return body['conversationId'] as string
  }
  const say = (id: string, message: string, attachments?: Json[], headers?: Record<string, string>) =>
    server.call('POST', `/conversations/${id}/chat`, { message, ...(attachments && { attachments }) }, headers)
  const uploaded = async (id: string, type: string, bytes: Uint8Array | string, name?: string): Promise<string> => {
    const answer = await upload(server, id, { type, bytes, ...(name !== undefined && { name }) })
    expect([answer.status, answer.text.slice(0, 300)]).toEqual([200, expect.anything()])
    return answer.body.attachmentId
  }
  /** The messages as the provider got them last. */
  const last = () => provider.requests.at(-1)?.body as { messages: Json[]; contents: Json[] }
  const sent = () => last().messages
  const attachmentsIn = async (id: string) =>
    (await read(server, id)).chatMessages.map(({ attachments }) => attachments as AttachmentOnTheWire[] | undefined)
  const rows = (text: string) => inspect(server.place, (query) => query(text))

  test('are uploaded, sent with a message, shown with it, and given back as they were', async () => {
    const id = await start(SEEING)
    const answer = await upload(server, id, { name: 'Grüezi "1".png', type: 'image/png', bytes: PNG })
    const { attachmentId } = answer.body
    expect(answer.body).toEqual({ attachmentId, name: 'Grüezi "1".png', mediaType: 'image/png', bytes: PNG.length })
    expect((await say(id, 'What is this?', [{ attachmentId }])).status).toBe(200)
    expect(sent()).toEqual([
      {
        role: 'user',
        content: [
          { type: 'image_url', image_url: { url: PNG_URL } },
          { type: 'text', text: 'What is this?' },
        ],
      },
    ])
    const [question, reply] = (await read(server, id)).chatMessages
    expect(question?.['attachments']).toEqual([answer.body])
    expect([Object.keys(question ?? {}).length, Object.keys(reply ?? {}).length]).toEqual([12, 11])

    const file = await server.open('GET', `/api/conversations/${id}/attachments/${attachmentId.toUpperCase()}`)
    expect(Buffer.from(await file.arrayBuffer())).toEqual(PNG)
    expect(Object.fromEntries(file.headers)).toMatchObject({
      'content-type': 'image/png',
      'content-disposition': `attachment; filename="Gr_ezi _1_.png"; filename*=UTF-8''Gr%C3%BCezi%20%221%22.png`,
      'x-content-type-options': 'nosniff',
      'cache-control': 'private, no-store',
    })
  })

  test('go on being seen in later turns, and a second message with its own keeps the order', async () => {
    const id = await start(SEEING)
    await say(id, 'One', [inline('a.png', 'image/png', PNG)])
    await say(id, 'Two')
    expect(sent().map(({ content }) => content)).toEqual([
      [
        { type: 'image_url', image_url: { url: PNG_URL } },
        { type: 'text', text: 'One' },
      ],
      expect.any(String),
      'Two',
    ])
    const [attachmentId] = ((await attachmentsIn(id))[0] ?? []).map((one) => one.attachmentId)
    await say(id, 'Three', [inline('b.pdf', 'application/pdf', PDF), { attachmentId }])
    expect(sent().at(-1)?.['content']).toEqual([
      {
        type: 'file',
        file: { filename: 'b.pdf', file_data: `data:application/pdf;base64,${PDF.toString('base64')}` },
      },
      { type: 'image_url', image_url: { url: PNG_URL } },
      { type: 'text', text: 'Three' },
    ])
    const runs = await server.call<{ data: { context: { historyTokens: number } }[] }>(
      'GET',
      `/conversations/${id}/runs`,
    )
    expect(runs.body.data[0]?.context.historyTokens).toBeGreaterThan(2 * 1_600 + 3_000)
  })

  test('come to Anthropic, Gemini and OpenAI as those want them', async () => {
    const files = [
      inline('a.png', 'image/png', PNG),
      inline('b.pdf', 'application/pdf', PDF),
      inline('c.md', 'text/markdown', '# Menu\nSoup'),
    ]
    const text = 'Attached file "c.md" (text/markdown):\n\n# Menu\nSoup\n\nEnd of the file "c.md".\n\nWhat is there?'
    const [png, pdf] = [PNG.toString('base64'), PDF.toString('base64')]

    const first = { message: 'What is there?', attachments: files }
    await start({ aiSystem: 'anthropic', model: 'claude-sonnet-4-6' }, first)
    expect(sent()).toEqual([
      {
        role: 'user',
        content: [
          { type: 'image', source: { type: 'base64', media_type: 'image/png', data: png } },
          { type: 'document', source: { type: 'base64', media_type: 'application/pdf', data: pdf }, title: 'b.pdf' },
          { type: 'text', text },
        ],
      },
    ])

    await start({ aiSystem: 'google', model: 'gemini-3.5-flash' }, first)
    expect(last().contents).toEqual([
      {
        role: 'user',
        parts: [
          { inlineData: { mimeType: 'image/png', data: png } },
          { inlineData: { mimeType: 'application/pdf', data: pdf } },
          { text },
        ],
      },
    ])

    await start({ aiSystem: 'openai', model: 'gpt-4.1-mini' }, first)
    expect(sent()).toEqual([
      {
        role: 'user',
        content: [
          { type: 'image_url', image_url: { url: PNG_URL } },
          { type: 'file', file: { filename: 'b.pdf', file_data: `data:application/pdf;base64,${pdf}` } },
          { type: 'text', text },
        ],
      },
    ])
  })

  test('of text go to every model', async () => {
    const id = await start(BLIND)
    const files = [
      inline('a.txt', 'text/plain', '\ufeffGrüezi'),
      inline('b.csv', 'text/csv', 'a,b'),
      inline('c.json', 'application/json', '{"a":1}'),
    ]
    expect((await say(id, 'Sum up', files)).status).toBe(200)
    const part = (name: string, type: string, text: string) =>
      `Attached file "${name}" (${type}):\n\n${text}\n\nEnd of the file "${name}".`
    const content = [
      part('a.txt', 'text/plain', 'Grüezi'),
      part('b.csv', 'text/csv', 'a,b'),
      part('c.json', 'application/json', '{"a":1}'),
      'Sum up',
    ].join('\n\n')
    expect(sent()).toEqual([{ role: 'user', content }])
    expect((await read(server, id)).chatMessages[0]?.content).toBe('Sum up')
  })

  test('that the model cannot take are a 422, before anything is stored', async () => {
    const count = async () => [
      await rows('select count(*) as n from attachment'),
      await rows('select count(*) as n from message'),
      await rows('select count(*) as n from conversation'),
      blobFiles(server).length,
    ]
    const id = await start(BLIND)
    const before = await count()
    const png = inline('a.png', 'image/png', PNG)
    const error = expectError(await say(id, 'Look', [inline('a.txt', 'text/plain', 'x'), png]), 'unprocessable_entity')
    expect(error).toEqual({
      code: 'unprocessable_entity',
      message: 'the model m of openai-compatible cannot take files of type image/png',
      details: [{ field: 'attachments.1', issue: 'is image/png, which m of openai-compatible cannot take' }],
    })
    const refused = async (aiSystem: string, model: string, file: Json) =>
      expectError(
        await server.call('POST', '/conversations', { aiSystem, model, message: 'Look', attachments: [file] }),
        'unprocessable_entity',
      ).message
    expect(await refused('openai', 'gpt-3.5-turbo', png)).toContain('gpt-3.5-turbo')
    expect(await refused('google', 'gemini-3.5-flash', inline('a.gif', 'image/gif', GIF))).toContain('image/gif')
    expect(await refused('anthropic', 'claude-3-haiku', inline('b.pdf', 'application/pdf', PDF))).toContain('/pdf')
    expect(await count()).toEqual(before)
    expect(provider.requests).toEqual([])
  })

  test('that are more than the model can see are a 422 too', async () => {
    const id = await start({ ...REHEARSAL, configuration: { contextWindow: 1_024 } })
    const error = expectError(
      await say(id, 'Read', [inline('a.txt', 'text/plain', 'word '.repeat(1_000))]),
      'unprocessable_entity',
    )
    expect(error.message).toMatch(/^the attachments of a message may have about \d+ tokens/)
  })

  test('that a fallback cannot see are a note for it', async () => {
    const fallbacks = [BLIND]
    const id = await start({ aiSystem: 'anthropic', model: 'claude-sonnet-4-6', configuration: { fallbacks } })
    provider.script([{ status: 400, pieces: ['{}'] }], '/v1/messages')
    const answer = await say(id, 'Look', [inline('a.png', 'image/png', PNG)])
    expect([answer.status, provider.requests.map(({ path }) => path)]).toEqual([
      200,
      ['/v1/messages', '/v1/chat/completions'],
    ])
    expect(sent()).toEqual([{ role: 'user', content: `${NOTE('a.png', 'image/png')}\n\nLook` }])
  })

  test.each<[string, unknown, string | null]>([
    ['no list', 'x', 'attachments'],
    ['nothing', [{}], 'attachments.0.data'],
    ['no type', [{ data: 'AAAA' }], 'attachments.0.mediaType'],
    ['no base64', [{ mediaType: 'text/plain', data: 'a*==' }], 'attachments.0.data'],
    ['half base64', [{ mediaType: 'text/plain', data: 'abc' }], 'attachments.0.data'],
    ['another type', [inline('a', 'application/zip', 'PK')], 'attachments.0.mediaType'],
    ['bytes of another type', [inline('a.png', 'image/png', GIF)], 'attachments.0.data'],
    ['text that is none', [inline('a.txt', 'text/plain', Buffer.from([0xff, 0xfe]))], 'attachments.0.data'],
    ['JSON that is none', [inline('a.json', 'application/json', '{')], 'attachments.0.data'],
    ['a name with a path', [inline('../a.txt', 'text/plain', 'x')], 'attachments.0.name'],
    ['a name with a line break', [inline('a\n.txt', 'text/plain', 'x')], 'attachments.0.name'],
    ['an id that is none', [{ attachmentId: 'x' }], 'attachments.0.attachmentId'],
    ['too many', Array.from({ length: 11 }, () => inline('a.txt', 'text/plain', 'x')), 'attachments'],
  ])('that cannot be any are a 400: %s', async (_what, attachments, field) => {
    const id = await start()
    const error = expectError(
      await server.call('POST', `/conversations/${id}/chat`, { message: 'Hi', attachments }),
      'bad_request',
    )
    expect(error.details.map((detail) => detail.field)).toContain(field)
  })

  test('that cannot be uploaded say why', async () => {
    const id = await start()
    const refused = async (
      type: string,
      bytes: Uint8Array | string,
      code: Parameters<typeof expectError>[1],
      name?: string,
    ) => expectError(await upload(server, id, { type, bytes, ...(name !== undefined && { name }) }), code)
    expect((await refused('application/zip', 'PK', 'unsupported_media_type')).message).toContain('image/png')
    await refused('multipart/form-data; boundary=x', '--x--', 'unsupported_media_type')
    expect(await refused('image/png', GIF, 'bad_request')).toMatchObject({ details: [{ field: 'body' }] })
    expect(await refused('image/png', '', 'bad_request')).toMatchObject({ details: [{ issue: 'is empty' }] })
    expect(await refused('image/png', PNG, 'bad_request', 'a/b')).toMatchObject({ details: [{ field: 'name' }] })
    await refused('text/plain', 'x'.repeat(20_001), 'payload_too_large')
    const tooLong = [inline('a.txt', 'text/plain', 'x'.repeat(20_001))]
    expectError(await say(id, 'Hi', tooLong), 'payload_too_large')
    expect(await upload(server, id, { type: 'Text/Plain; charset=utf-8', bytes: 'x'.repeat(20_000) })).toMatchObject({
      status: 200,
      body: { name: 'file.txt', mediaType: 'text/plain', bytes: 20_000 },
    })
    const json = await upload(server, id, { type: 'application/json', bytes: '[1]' })
    expect(json.body).toMatchObject({ name: 'file.json', mediaType: 'application/json', bytes: 3 })
    await server.call('PATCH', `/conversations/${id}/set-active`, { isActive: false })
    await refused('image/png', PNG, 'forbidden')
    await server.call('DELETE', `/conversations/${id}`)
    await refused('image/png', PNG, 'gone')
  })

  test('come with the message that begins a conversation, in a stream too, and not without one', async () => {
    const attachments = [inline('a.png', 'image/png', PNG)]
    const streamed = await server.call('POST', '/conversations', {
      ...REHEARSAL,
      message: 'Hi',
      stream: true,
      attachments,
    })
    const conversation = JSON.parse(parseSse(streamed.text)[0]?.data ?? '') as { chatMessages: Json[] }
    expect(conversation.chatMessages[0]?.['attachments']).toMatchObject([{ name: 'a.png', bytes: PNG.length }])
    const error = expectError(await server.call('POST', '/conversations', { ...REHEARSAL, attachments }), 'bad_request')
    expect(error.details[0]?.field).toBe('attachments')
    const none = { message: 'Hi', attachments: [] }
    expect((await server.call('POST', '/conversations', { ...REHEARSAL, ...none })).status).toBe(200)
    const unknown = [{ attachmentId: '00000000-0000-7000-8000-000000000000' }]
    expectError(
      await server.call('POST', '/conversations', { ...REHEARSAL, message: 'Hi', attachments: unknown }),
      'unprocessable_entity',
    )
  })

  test('stay with a message that is edited or answered again, unless the edit has others', async () => {
    const id = await start(SEEING)
    await say(id, 'One', [inline('a.png', 'image/png', PNG)])
    await server.call('POST', `/conversations/${id}/regenerate`)
    const image = { type: 'image_url', image_url: { url: PNG_URL } }
    expect(sent()).toEqual([{ role: 'user', content: [image, { type: 'text', text: 'One' }] }])
    const edit = async (body: Json) => {
      const [question] = (await read(server, id)).chatMessages
      const path = `/conversations/${id}/messages/${question?.messageId}`
      expect((await server.call('PATCH', path, body)).status).toBe(200)
      return sent()[0]?.['content']
    }
    expect(await edit({ content: 'Two' })).toEqual([image, { type: 'text', text: 'Two' }])
    expect(await edit({ content: 'Three', attachments: [inline('b.txt', 'text/plain', 'b')] })).toMatch(/"b.txt"/)
    expect(await edit({ content: 'Four', attachments: [] })).toBe('Four')
    expect(await attachmentsIn(id)).toEqual([undefined, undefined])
  })

  test('count for an Idempotency-Key', async () => {
    const id = await start()
    const key = { 'idempotency-key': `one-${id}` }
    const file = { type: 'text/plain', bytes: 'x' }
    const first = await upload(server, id, file, key)
    expect((await upload(server, id, file, key)).body).toEqual(first.body)
    expectError(await upload(server, id, { ...file, bytes: 'y' }, key), 'conflict')
    const sending = { 'idempotency-key': `two-${id}` }
    const answers = [
      await say(id, 'Hi', [inline('a.txt', 'text/plain', 'x')], sending),
      await say(id, 'Hi', [inline('a.txt', 'text/plain', 'x')], sending),
    ]
    expect(answers[1]?.body['messageId']).toBe(answers[0]?.body['messageId'])
    expectError(await say(id, 'Hi', [inline('a.txt', 'text/plain', 'y')], sending), 'conflict')
    expect(
      await rows(`select name from attachment where conversation_id = '${id}' and message_id is not null`),
    ).toEqual([{ name: 'a.txt' }])
  })

  test('leave no blob behind when the message is not accepted', async () => {
    const slow = { rehearsal: { text: 'a b c d e f', tokensPerSecond: 2 } }
    const id = await start({ ...REHEARSAL, configuration: slow })
    const before = blobFiles(server).length
    const first = await server.open('POST', `/conversations/${id}/chat-sse`, { message: 'Talk' })
    expectError(await say(id, 'Me too', [inline('a.txt', 'text/plain', 'x')]), 'conflict')
    expect(blobFiles(server).length).toBe(before)
    expect(await rows(`select * from unclaimed_blob where blob_key like '%${id}%'`)).toEqual([])
    await server.call('POST', `/conversations/${id}/runs/${first.headers.get('x-dramatis-run-id')}/cancel`)
    await first.text()
  })

  test('belong to one conversation of one organization', async () => {
    const [id, another] = [await start(), await start()]
    const attachmentId = await uploaded(id, 'text/plain', 'x')
    const { key } = await createOrganization(server)
    const path = `/conversations/${id}/attachments/${attachmentId}`
    expectError(await server.call('GET', path, undefined, { 'x-hl-api-key': key }), 'not_found')
    const file = { type: 'text/plain', bytes: 'x' }
    expectError(await upload(server, id, file, { 'x-hl-api-key': key }), 'not_found')
    expectError(await server.call('GET', `/conversations/${another}/attachments/${attachmentId}`), 'not_found')
    expectError(await say(another, 'Hi', [{ attachmentId }]), 'unprocessable_entity')
    const twice = await say(id, 'Hi', [{ attachmentId }, { attachmentId }])
    expect(expectError(twice, 'bad_request').details[0]?.field).toBe('attachments.1.attachmentId')
  })

  test('that no message comes for within a day are given up, and those of messages stay', async () => {
    const id = await start()
    const [unused, used] = [await uploaded(id, 'text/plain', 'unused'), await uploaded(id, 'text/plain', 'used')]
    await say(id, 'Hi', [{ attachmentId: used }])
    const { database, ids } = server.app.services
    const sweep = async (ms: number) => {
      const shared = { database, ids, limit: 1, blobs: openBlobs(server.config.blobs), clock: () => Date.now() + ms }
      return createAttachmentService(shared).sweepUnused()
    }
    await sweep(DAY_MS - 600_000)
    const path = (attachmentId: string) => `/conversations/${id}/attachments/${attachmentId}`
    expect((await server.call('GET', path(unused))).status).toBe(200)
    expect(await sweep(DAY_MS + 60_000)).toBeGreaterThan(0)
    expectError(await server.call('GET', path(unused)), 'not_found')
    expectError(await say(id, 'Hi', [{ attachmentId: unused }]), 'unprocessable_entity')
    expect((await server.call('GET', path(used))).text).toBe('used')
  })

  test('that are given up while a message takes them are either', async () => {
    const id = await start(REHEARSAL, { messages: [{ role: 'user', content: 'Hi' }] })
    const { database, ids } = server.app.services
    const clock = () => Date.now() + DAY_MS + 60_000
    const sweeping = createAttachmentService({
      database,
      ids,
      clock,
      limit: 1,
      blobs: openBlobs(server.config.blobs),
    })
    for (let round = 0; round < 10; round++) {
      const attachmentId = await uploaded(id, 'text/plain', `file ${round}`)
      const [answer] = await Promise.all([say(id, 'Hi', [{ attachmentId }]), sweeping.sweepUnused()])
      await server.app.archiver.round()
      const file = await server.call('GET', `/conversations/${id}/attachments/${attachmentId}`)
      expect([answer.status, file.status]).toBeOneOf([
        [200, 200],
        [422, 404],
      ])
    }
  })

  test('whose message was never stored, because the server died, are swept', async () => {
    const { database, ids, clock, organizations } = server.app.services
    const blobs = openBlobs(server.config.blobs)
    const files = createAttachmentService({ database, ids, clock, limit: 100, blobs })
    const key = { organizationId: (await organizations.first())?.id ?? '', conversationId: ids.next() }
    const file = { name: 'a.txt', mediaType: 'text/plain', bytes: Buffer.from('x') }
    await files.store(key, await files.describe(key, [file]))
    const left = () => blobFiles(server).filter((name) => name.includes(key.conversationId)).length
    expect(left()).toBe(1)
    await createBlobSweeper({ database, blobs, clock: () => clock() + 3_500_000 }).sweep()
    expect(left()).toBe(1)
    await createBlobSweeper({ database, blobs, clock: () => clock() + 3_700_000 }).sweep()
    expect(left()).toBe(0)
  })

  test('of archived messages stay where they are', async () => {
    const id = await start(SEEING)
    await say(id, 'First', [inline('a.png', 'image/png', PNG)])
    const [files] = await attachmentsIn(id)
    provider.always(chatReply(['Yes']))
    for (let i = 0; i < 62; i++) await say(id, `message ${i}`)
    provider.always(null)
    await server.app.archiver.round()
    const now = await read(server, id)
    expect([now.areChatMessagesInBlob, now.chatMessages.some(({ attachments }) => attachments)]).toEqual([true, false])
    expect((await transcript(server, id))[0]).toMatchObject({ content: 'First', attachments: files })
    const file = await server.open('GET', `/conversations/${id}/attachments/${files?.[0]?.attachmentId}`)
    expect(Buffer.from(await file.arrayBuffer())).toEqual(PNG)
    await say(id, 'And now?')
    expect(sent()[0]?.['content']).toEqual([
      { type: 'image_url', image_url: { url: PNG_URL } },
      { type: 'text', text: 'First' },
    ])
  })

  test('that are lost stop the turn that is about them, and no later one', async () => {
    const id = await start(SEEING)
    await say(id, 'First', [inline('a.png', 'image/png', PNG)])
    const attachmentId = await uploaded(id, 'image/png', PNG)
    for (const file of blobFiles(server).filter((name) => name.includes(id))) rmSync(file)
    expectError(await server.call('GET', `/conversations/${id}/attachments/${attachmentId}`), 'unavailable')
    expect(expectError(await say(id, 'Second', [{ attachmentId }]), 'unavailable').message).toBe(
      'the file cannot be read at the moment',
    )
    const other = await start(SEEING)
    await say(other, 'First', [inline('a.png', 'image/png', PNG)])
    for (const file of blobFiles(server).filter((name) => name.includes(other))) rmSync(file)
    expect((await say(other, 'Second')).status).toBe(200)
    expect(sent()[0]).toEqual({ role: 'user', content: `${NOTE('a.png', 'image/png')}\n\nFirst` })
  })

  test('are named in exports, go with a delete, and leave nothing after an erasure', async () => {
    const user = `user-${crypto.randomUUID()}`
    const canary = `canary-${crypto.randomUUID()}`
    const create = (name: string) =>
      start(REHEARSAL, {
        externalUserId: user,
        message: 'Hi',
        attachments: [inline(`${name}.txt`, 'text/plain', `${canary} in a file`), inline('b.png', 'image/png', PNG)],
      })
    const [first, second] = [await create(canary), await create(canary)]
    await uploaded(second, 'text/plain', canary, `${canary}-unused.txt`)
    const lines = (await (await server.open('GET', `/conversations/${first}/export`)).text()).split('\n')
    expect(JSON.parse(lines[1] ?? '')).toMatchObject({
      type: 'message',
      attachments: [{ name: `${canary}.txt`, mediaType: 'text/plain' }, { name: 'b.png' }],
    })
    expect(await (await server.open('GET', `/conversations/${first}/export?format=markdown`)).text()).toContain(
      `- Attached b.png (image/png, ${PNG.length} bytes)`,
    )
    const files = (id: string) => blobFiles(server).filter((name) => name.includes(id))
    expect([files(first).length, files(second).length]).toEqual([2, 3])

    const [attachment] = (await attachmentsIn(first))[0] ?? []
    await server.call('DELETE', `/conversations/${first}`)
    expectError(await server.call('GET', `/conversations/${first}/attachments/${attachment?.attachmentId}`), 'gone')
    await server.app.archiver.round()
    expect(files(first)).toEqual([])

    expect((await server.call('DELETE', `/users/${user}`)).status).toBe(204)
    expect(files(second)).toEqual([])
    expect(await tablesWith(server.place, canary)).toEqual([])
    expect(blobFiles(server).filter((file) => readFileSync(file).includes(canary))).toEqual([])
    expect(await tablesWith(server.place, second)).toEqual([])
  })
})
