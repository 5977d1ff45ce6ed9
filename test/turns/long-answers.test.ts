import { afterAll, beforeAll, expect, test } from 'vitest'
import { createPersona, expectError, type Json, type RunningApp, startApp } from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'

type Page = { data: Json[]; continuationToken: string | null }

const MIB = 1_024 * 1_024

onEveryDatabase('a long answer', (kind) => {
  let server: RunningApp
  beforeAll(async () => {
    server = await startApp(kind)
  })
  afterAll(() => server.close())

  const start = async (more: Json = {}): Promise<string> => {
    const { status, body } = await server.call('POST', '/conversations', {
      aiSystem: 'rehearsal',
      model: 'rehearsal',
      externalUserId: 'long',
      ...more,
    })
    expect(status).toBe(200)
    return body['conversationId'] as string
  }
  const historyOf = (units: number) => ({
    messages: [
      { role: 'user', content: 'é'.repeat(units) },
      { role: 'assistant', content: 'x' },
    ],
  })

  /** Every page of a list: what is in it, and how many bytes it has. */
  async function pagesOf(path: string): Promise<{ ids: unknown[]; bytes: number }[]> {
    const pages: { ids: unknown[]; bytes: number }[] = []
    for (let token: string | null = ''; token !== null; ) {
      const answer: { status: number; text: string; body: Page } = await server.call<Page>('GET', path + token)
      expect(answer.status).toBe(200)
      const ids = answer.body.data.map((one) => one['conversationId'] ?? one['personaId'])
      pages.push({ ids, bytes: Buffer.byteLength(answer.text) })
      token = answer.body.continuationToken && `&continuationToken=${answer.body.continuationToken}`
    }
    return pages
  }

  test('is cut into pages by its bytes, and no conversation is skipped or repeated', async () => {
    const made: string[] = []
    for (let i = 0; i < 60; i++) made.unshift(await start(historyOf(i % 10 === 0 ? 100 : 99_000)))
    const path = '/conversations/user/long?pageSize=50'
    const short = await pagesOf(path)
    expect(short.map(({ ids }) => ids.length)).toEqual([50, 10])
    const long = await pagesOf(`${path}&includeMessages=true`)
    expect(long.flatMap(({ ids }) => ids)).toEqual(made)
    expect(long.length).toBeGreaterThan(2)
    for (const { bytes } of long) expect(bytes).toBeLessThan(4.5 * MIB)
  })

  test('of personas is cut as well', async () => {
    const made: unknown[] = []
    for (let i = 0; i < 12; i++) {
      const text = 'é'.repeat(500_000)
      made.unshift((await createPersona(server, { personaTags: 'large', personaText: text }))['personaId'])
    }
    const pages = await pagesOf('/personas?tag=large&pageSize=100')
    expect(pages.flatMap(({ ids }) => ids)).toEqual(made)
    expect(pages.length).toBeGreaterThan(2)
    for (const { bytes } of pages) expect(bytes).toBeLessThan(6 * MIB)
  })

  test('of a persona has all its versions, newest first', async () => {
    const { personaId } = await createPersona(server)
    for (let i = 0; i < 130; i++) {
      const version = { aiSystem: 'rehearsal', model: `m${i}`, personaText: i % 10 === 0 ? 'x'.repeat(300_000) : 'x' }
      expect((await server.call('POST', `/personas/${personaId}`, version)).status).toBe(200)
    }
    const { body } = await server.call<{ personaVersions: Json[]; model: string }>('GET', `/personas/${personaId}`)
    const models = Array.from({ length: 130 }, (_, i) => `m${i}`).toReversed()
    expect(body.personaVersions.map((version) => version['model'])).toEqual([...models, 'rehearsal'])
    expect(body.model).toBe('m129')
  })

  test('to a change is given again, as it is by then, to whoever sends the change again', async () => {
    const id = await start(historyOf(99_000))
    const change = (isActive: boolean) =>
      server.call('PATCH', `/conversations/${id}/set-active`, { isActive }, { 'idempotency-key': 'a long one' })
    const first = await change(true)
    expect((first.body['chatMessages'] as Json[]).length).toBe(2)
    const again = await change(true)
    expect([again.status, again.headers.get('x-dramatis-replayed')]).toEqual([200, 'true'])
    expect(again.body).toEqual(first.body)
    expectError(await change(false), 'conflict')
  })

  test('of feedback ends at a hundred on a message, also when it comes all at once', async () => {
    const id = await start(historyOf(1))
    const { body } = await server.call<{ chatMessages: { messageId: string }[] }>('GET', `/conversations/${id}`)
    const path = `/conversations/${id}/set-score/${body.chatMessages[0]?.messageId}`
    const feedbackId = (n: number) => `00000000-0000-4000-8000-${String(n + 1).padStart(12, '0')}`
    const give = (n: number, score = 1) => server.call('PATCH', path, { feedbackId: feedbackId(n), score })
    const statuses = (await Promise.all(Array.from({ length: 120 }, (_, n) => give(n)))).map(({ status }) => status)
    expect(statuses.filter((status) => status === 200).length).toBe(100)
    expect(statuses.filter((status) => status === 422).length).toBe(20)
    const given = await server.call<{ chatMessages: { feedbacks: Json[] }[] }>('GET', `/conversations/${id}`)
    const kept = given.body.chatMessages[0]?.feedbacks ?? []
    expect(kept.length).toBe(100)
    // One that is there may be replaced.
    const one = Number(String(kept[0]?.['feedbackId']).slice(-12)) - 1
    expect((await give(one, -3)).status).toBe(200)
    const { details } = expectError(await give(500), 'unprocessable_entity')
    expect(details).toEqual([{ field: 'feedbackId', issue: expect.any(String) }])
  })

  test('to a wrong request names ten fields, and of a large one the first', async () => {
    const wrong = Object.fromEntries(Array.from({ length: 30 }, (_, i) => [`v${i}`, 1]))
    const create = (variables: object) =>
      server.call('POST', '/personas', {
        personaName: 'a',
        personaDescription: 'b',
        aiSystem: 'rehearsal',
        model: 'rehearsal',
        personaConfiguration: { variables },
      })
    expect(expectError(await create(wrong), 'bad_request').details.length).toBe(10)
    const many = Object.fromEntries(Array.from({ length: 30_000 }, (_, i) => [`v${i}`, 1]))
    expect(expectError(await create(many), 'bad_request').details.length).toBe(1)
  })
})
