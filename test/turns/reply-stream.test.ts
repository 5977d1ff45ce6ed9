import { once } from 'node:events'
import { type AddressInfo, connect, type Socket } from 'node:net'
import Fastify from 'fastify'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openBlobs } from '../../server/src/blobs/open-blobs.ts'
import { createArchiveReader } from '../../server/src/features/archive/archive-reader.ts'
import { createConversationTurns } from '../../server/src/features/conversations/for-turns/conversation-turns.ts'
import { createReplyReader } from '../../server/src/features/turns/reply/reply-reader.ts'
import { type StreamOptions, streamReply } from '../../server/src/features/turns/routes/reply-stream.ts'
import type { RunKey } from '../../server/src/features/turns/run/run.ts'
import { createConversation, type Json, parseSse, type RunningApp, startApp } from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'

/** A wait that no test sees the end of, in milliseconds. */
const FOR_EVER = 2 ** 31 - 1

onEveryDatabase('the stream of a reply', (kind) => {
  let server: RunningApp
  let reader: ReturnType<typeof createReplyReader>
  let organizationId: string
  beforeAll(async () => {
    server = await startApp(kind)
    const { database, clock, organizations } = server.app.services
    const blobs = openBlobs(server.config.blobs)
    const archive = createArchiveReader({ database, clock, organizations, blobs, log: server.app.http.log })
    reader = createReplyReader({ database, conversations: createConversationTurns({ database, archive }) })
    organizationId = (await organizations.first())?.id ?? ''
  })
  afterAll(() => server.close())

  /** A run whose model thinks for as long as the test lasts. */
  async function think(): Promise<{ key: RunKey; cancel(): Promise<void> }> {
    const conversationId = await createConversation(server, { text: 'Never said', delayMs: 600_000 })
    const running = server.call('PATCH', `/conversations/${conversationId}/chat`, { message: 'Hi' })
    const runs = () => server.call<{ data: { runId: string }[] }>('GET', `/conversations/${conversationId}/runs`)
    await expect.poll(async () => (await runs()).body.data.length).toBe(1)
    const runId = (await runs()).body.data[0]?.runId as string
    const cancel = async () => {
      await server.call('POST', `/conversations/${conversationId}/runs/${runId}/cancel`)
      await running
    }
    return { key: { organizationId, conversationId, runId }, cancel }
  }

  /** A server that streams a run with waits of its own. `streamed` settles when the stream has no more to do. */
  async function serveStream(key: RunKey, options: StreamOptions) {
    const run = { ...key, messageId: key.runId, reply: reader.follow(key) }
    const http = Fastify()
    const streamed = new Promise<void>((resolve, reject) => {
      http.get('/', (_request, reply) => streamReply(reply, run, options).then(resolve, reject))
    })
    await http.listen({ host: '127.0.0.1', port: 0 })
    const socket = connect((http.server.address() as AddressInfo).port, '127.0.0.1')
    socket.write('GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n')
    return { socket, streamed, close: () => http.close() }
  }

  /** What comes up to the first bytes that match, and those bytes with it. */
  async function readUntil(socket: Socket, pattern: RegExp): Promise<string> {
    let text = ''
    while (!pattern.test(text)) text += String((await once(socket, 'data'))[0])
    return text
  }

  test.each(['sse', 'array'] as const)('sends its head while the model thinks (%s)', async (format) => {
    const { key, cancel } = await think()
    const { socket, close } = await serveStream(key, { format, from: 0, headersAfterMs: 1 })
    const head = await readUntil(socket, /\r\n\r\n/)
    expect(head).toMatch(/^HTTP\/1\.1 200 OK\r\n/)
    expect(head).toContain(`\r\nx-dramatis-run-id: ${key.runId}\r\n`)
    // Nothing but the head: what is said later is whole for itself.
    expect(head).toMatch(/\r\n\r\n$/)
    const rest = readUntil(socket, /\r\n0\r\n\r\n$/)
    await cancel()
    const body = (await rest).replaceAll(/(^|\r\n)[0-9a-f]+\r\n/g, '').replaceAll('\r\n', '')
    const item =
      format === 'array' ? (JSON.parse(body) as Json[])[0] : (JSON.parse(parseSse(body)[0]?.data ?? '') as Json)
    expect(item).toMatchObject({ choice: { finish_reason: 'cancelled', message: { content: '' } }, runId: key.runId })
    await close()
  })

  test('of an array does not wait to close it for a reader who is gone', async () => {
    const conversationId = await createConversation(server, { text: 'One' })
    const { body } = await server.call('PATCH', `/conversations/${conversationId}/chat`, { message: 'Hi' })
    const key = { organizationId, conversationId, runId: body['runId'] as string }
    const { socket, streamed, close } = await serveStream(key, { format: 'array', from: 0, closingPauseMs: FOR_EVER })
    expect(await readUntil(socket, /"One"/)).not.toContain('"stop"')
    socket.destroy()
    await streamed
    await close()
  })
})
