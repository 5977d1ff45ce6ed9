import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createPersona, type Json, type RunningApp, startApp } from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'

type Listed = Json & { conversationId: string; chatMessages: { role: string }[] | null }
type Page = { data: Listed[]; continuationToken: string | null }

const GENERAL = { aiSystem: 'rehearsal', model: 'rehearsal' }

onEveryDatabase('lists of conversations', (kind) => {
  let server: RunningApp
  let users = 0
  beforeAll(async () => {
    server = await startApp(kind)
  })
  afterAll(() => server.close())

  const start = async (fields: Json = {}) => {
    const answer = await server.call<Listed>('POST', '/conversations', { ...GENERAL, ...fields })
    expect([answer.status, answer.text.slice(0, 200)]).toEqual([200, expect.anything()])
    return answer.body.conversationId
  }
  const patch = (id: string, body: Json) => server.call('PATCH', `/conversations/${id}/update`, body)
  const page = async (path: string) => {
    const answer = await server.call<Page>('GET', path)
    expect([path, answer.status, answer.text.slice(0, 200)]).toEqual([path, 200, expect.anything()])
    return answer.body
  }
  const idsOf = ({ data }: Page) => data.map(({ conversationId }) => conversationId)
  const ids = async (path: string) => idsOf(await page(path))
  /** All pages of a list; `between` happens after each. */
  const walk = async (path: string, between: (page: Page) => Promise<unknown> = async () => {}) => {
    const seen: string[] = []
    let token: string | null = null
    do {
      const next: string = token === null ? '' : `${path.includes('?') ? '&' : '?'}continuationToken=${token}`
      const one = await page(path + next)
      seen.push(...idsOf(one))
      token = one.continuationToken
      await between(one)
    } while (token !== null)
    return seen
  }
  const newUser = () => `user-${++users}`

  test('are newest first, ten a page, without messages unless they are asked for', async () => {
    const externalUserId = newUser()
    const made: string[] = []
    for (let i = 0; i < 21; i++) made.push(await start({ externalUserId, systemMessage: 'Be brief' }))
    const sizes: number[] = []
    const seen = await walk(`/conversations/user/${externalUserId}`, async ({ data }) => {
      sizes.push(data.length)
      for (const { chatMessages, chatMessagesCount } of data)
        expect([chatMessages, chatMessagesCount]).toEqual([null, 1])
    })
    expect(seen).toEqual(made.toReversed())
    expect(sizes).toEqual([10, 10, 1])
    const whole = await page(`/conversations/user/${externalUserId}?includeMessages=true&pageSize=100`)
    expect(whole.data).toHaveLength(21)
    expect(whole.continuationToken).toBeNull()
    for (const { conversationId, ...rest } of whole.data.slice(0, 3)) {
      expect({ conversationId, ...rest }).toEqual((await server.call('GET', `/conversations/${conversationId}`)).body)
    }
    expect((await page(`/conversations/user/${externalUserId}?includeMessages=false`)).data[0]?.chatMessages).toBeNull()
    expect((await page(`/conversations/user/${externalUserId}?pageSize=21`)).continuationToken).toBeNull()
    expect(await page('/conversations/user/nobody')).toEqual({ data: [], continuationToken: null })
  })

  test('show messages with their feedback, and each its own', async () => {
    const externalUserId = newUser()
    const configuration = { rehearsal: { text: 'Reply' } }
    const one = await start({ externalUserId, message: 'One', configuration })
    await start({ externalUserId, message: 'Two', configuration })
    await start({ externalUserId })
    const read = await server.call<{ chatMessages: { messageId: string }[] }>('GET', `/conversations/${one}`)
    await server.call('PATCH', `/conversations/${one}/set-score/${read.body.chatMessages[1]?.messageId}`, { score: 5 })
    const { data } = await page(`/conversations/user/${externalUserId}?includeMessages=true`)
    expect(data.map(({ chatMessages }) => chatMessages)).toMatchObject([
      [],
      [{ content: 'Two' }, { content: 'Reply', feedbacks: [] }],
      [{ content: 'One' }, { content: 'Reply', feedbacks: [{ score: 5 }] }],
    ])
  })

  test('are of one persona, of any, or of none', async () => {
    const [one, two] = [await createPersona(server), await createPersona(server)]
    const externalUserId = newUser()
    const withPersona = async (persona: Json) =>
      (await server.call<Listed>('POST', '/conversations/persona', { personaId: persona['personaId'], externalUserId }))
        .body.conversationId
    const [a, b, c, d] = [
      await withPersona(one),
      await withPersona(two),
      await start({ externalUserId }),
      await withPersona(one),
    ]
    const all = [d, c, b, a]
    const ours = async (path: string) => (await ids(`${path}?pageSize=100`)).filter((id) => all.includes(id))
    expect(await ours('/conversations')).toEqual(all)
    expect(await ours(`/conversations/persona/${one['personaId']}`)).toEqual([d, a])
    expect(await ours(`/conversations/persona/${two['personaId']}`)).toEqual([b])
    expect(await ours('/conversations/persona/any')).toEqual([d, b, a])
    expect(await ours('/conversations/persona/none')).toEqual([c])
    expect(await ids('/conversations/persona/01890000-0000-7000-8000-000000000000')).toEqual([])
    expect(await ids(`/conversations/persona/${one['personaId']}`)).toEqual([d, a])
  })

  test.each([
    'plain',
    'mail+tag@example.com',
    'with space',
    'with/slash',
    'with?question&and=more#hash',
    '100%',
    'ключ',
    '😀'.repeat(128),
    '漢'.repeat(256),
    'o\'brien"; drop table conversation; --',
    '..%2f',
    'any',
    '01890000-0000-7000-8000-000000000000',
    'UPPER',
  ])('are of the user %s', async (externalUserId) => {
    const id = await start({ externalUserId })
    await start({ externalUserId: externalUserId === 'UPPER' ? 'upper' : `${externalUserId.slice(1)}x` })
    expect(await ids(`/conversations/user/${encodeURIComponent(externalUserId)}`)).toEqual([id])
  })

  test('are filtered by what they are', async () => {
    const externalUserId = newUser()
    const base = `/conversations/user/${externalUserId}`
    const a = await start({ externalUserId })
    const b = await start({ externalUserId })
    const c = await start({ externalUserId })
    await patch(a, { isActive: false, conversationStatus: 'closed' })
    await patch(b, { conversationStatus: 'Closed & done' })
    expect(await ids(`${base}?isActive=true`)).toEqual([c, b])
    expect(await ids(`${base}?isActive=false`)).toEqual([a])
    expect(await ids(`${base}?status=open`)).toEqual([c])
    expect(await ids(`${base}?status=closed`)).toEqual([a])
    expect(await ids(`${base}?status=${encodeURIComponent('Closed & done')}`)).toEqual([b])
    expect(await ids(`${base}?status=closed&isActive=true`)).toEqual([])
    expect(await ids(`/conversations?status=${encodeURIComponent('Closed & done')}`)).toEqual([b])
    expect(await ids(`/conversations/persona/none?status=${encodeURIComponent('Closed & done')}`)).toEqual([b])
  })

  test('are filtered by when they were created', async () => {
    const externalUserId = newUser()
    const base = `/conversations/user/${externalUserId}`
    const id = await start({ externalUserId, messages: [{ role: 'user', content: 'x' }] })
    const { data } = await page(`${base}?includeMessages=true`)
    const at = (data[0]?.chatMessages?.[0] as { timestamp: string } | undefined)?.timestamp ?? ''
    const shift = (ms: number) => encodeURIComponent(new Date(Date.parse(at) + ms).toISOString())
    expect(await ids(`${base}?from=${shift(0)}`)).toEqual([id])
    expect(await ids(`${base}?from=${shift(1)}`)).toEqual([])
    expect(await ids(`${base}?to=${shift(0)}`)).toEqual([id])
    expect(await ids(`${base}?to=${shift(-1)}`)).toEqual([])
    expect(await ids(`${base}?from=${shift(-1)}&to=${shift(1)}`)).toEqual([id])
    expect(await ids(`${base}?from=2020-01-01`)).toEqual([id])
    expect(await ids(`${base}?to=2020-01-01T00:00:00Z`)).toEqual([])
    expect(await ids(`${base}?from=${encodeURIComponent('2020-01-01T02:00:00+02:00')}`)).toEqual([id])
  })

  test('are filtered by their metadata, whatever the keys and values are', async () => {
    const externalUserId = newUser()
    const metadata = {
      plain: 'x',
      number: 7,
      float: 0.5,
      yes: true,
      no: false,
      nothing: null,
      empty: '',
      'with space': 'a b',
      'dot.ted': 'd',
      "quo'te": 'q',
      'dou"ble': 'dq',
      'back\\slash': 'b',
      $: 'dollar',
      ключ: 'значение 😀',
      '0': 'zero',
      '[0]': 'bracket',
      '%': 'percent',
      deep: { er: 'no' },
      list: ['x'],
      UPPER: 'X',
      a: { plain: 'nested' },
    }
    const id = await start({ externalUserId, metadata })
    const other = await start({ externalUserId, metadata: { plain: 'y' } })
    await start({ externalUserId, metadata: {} })
    await start({ externalUserId })
    const by = (key: string, value: string) =>
      ids(`/conversations/user/${externalUserId}?${encodeURIComponent(`metadata.${key}`)}=${encodeURIComponent(value)}`)
    for (const [key, value] of Object.entries(metadata)) {
      if (typeof value === 'object') continue
      expect([key, await by(key, String(value))]).toEqual([key, [id]])
      expect([key, await by(key, `${value}x`)]).toEqual([key, []])
    }
    expect(await by('plain', 'y')).toEqual([other])
    expect(await by('plain', 'X')).toEqual([])
    expect(await by('upper', 'X')).toEqual([])
    expect(await by('absent', '')).toEqual([])
    expect(await by('deep.er', 'no')).toEqual([])
    expect(await by("x' or '1'='1", 'x')).toEqual([])
    for (const strange of ['\\', 'a\\', '"', '$[', '\\"', '\n'])
      expect([strange, await by(strange, 'x')]).toEqual([strange, []])
    const both = `/conversations/user/${externalUserId}?metadata.plain=x&metadata.number=`
    expect(await ids(`${both}7`)).toEqual([id])
    expect(await ids(`${both}8`)).toEqual([])
  })

  test('skip and repeat none that was there throughout, whatever happens meanwhile', async () => {
    const step = fc.record({ added: fc.integer({ min: 0, max: 4 }), deleted: fc.nat(), isDeleting: fc.boolean() })
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: 12 }),
        fc.integer({ min: 1, max: 5 }),
        fc.array(step, { minLength: 1, maxLength: 6 }),
        async (count, pageSize, steps) => {
          const externalUserId = newUser()
          const there = await Promise.all(Array.from({ length: count }, () => start({ externalUserId })))
          const removed = new Set<string>()
          let round = 0
          const seen = await walk(`/conversations/user/${externalUserId}?pageSize=${pageSize}`, async () => {
            const { added, deleted, isDeleting } = steps[round++ % steps.length] as {
              added: number
              deleted: number
              isDeleting: boolean
            }
            await Promise.all(Array.from({ length: added }, () => start({ externalUserId })))
            const victim = there[deleted % Math.max(1, there.length)]
            if (!isDeleting || victim === undefined || removed.has(victim)) return
            removed.add(victim)
            await server.call('DELETE', `/conversations/${victim}`)
          })
          expect(new Set(seen).size).toBe(seen.length)
          expect(seen).toEqual(seen.toSorted().toReversed())
          const throughout = there.filter((id) => !removed.has(id))
          expect(throughout.filter((id) => !seen.includes(id))).toEqual([])
        },
      ),
      { numRuns: 15 },
    )
  })

  test('skip and repeat none while others are created all the time', async () => {
    const there = await Promise.all(Array.from({ length: 30 }, () => start()))
    let isOver = false
    const writer = (async () => {
      while (!isOver) await Promise.all([start(), start(), start()])
    })()
    const walks = await Promise.all([1, 2, 3].map((n) => walk(`/conversations?pageSize=${n + 3}`)))
    isOver = true
    await writer
    for (const seen of walks) {
      expect(new Set(seen).size).toBe(seen.length)
      expect(there.filter((id) => !seen.includes(id))).toEqual([])
    }
  })
})
