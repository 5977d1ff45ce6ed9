import { createHash, createHmac } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createKey, createOrganization, createPersona, expectError, type RunningApp, startApp } from '../support/app.ts'
import { archiverOn, type Conversation, createLong, SMALL_ARCHIVE } from '../support/archive.ts'
import { onEveryDatabase } from '../support/databases.ts'

onEveryDatabase('the link to a transcript', (kind) => {
  let server: RunningApp
  let conversationId: string
  beforeAll(async () => {
    server = await startApp(kind, SMALL_ARCHIVE)
    conversationId = (await createLong(server, 150)).conversationId
    await archiverOn(server).round()
  })
  afterAll(() => server.close())

  type Headers = Record<string, string>
  const linkFor = async (headers: Headers = {}, id = conversationId): Promise<URL> => {
    const answer = await server.call<Conversation>('GET', `/conversations/${id}`, undefined, headers)
    return new URL(answer.body.chatMessagesBlobUri ?? '')
  }
  const follow = (link: URL) => server.call('GET', link.pathname + link.search, undefined, { 'x-hl-api-key': '' })
  const keyOf = async (headers: Headers) => {
    const { body } = await server.call<{ data: { id: string; prefix: string }[] }>('GET', '/api-keys')
    return body.data.find(({ prefix }) => headers['x-hl-api-key']?.startsWith(prefix))?.id ?? ''
  }

  test('ends with the key that asked for it, and with no other', async () => {
    const mine = await createKey(server, ['conversations:read'])
    const [link, other] = [await linkFor(mine), await linkFor()]
    expect([(await follow(link)).status, (await follow(other)).status]).toEqual([200, 200])
    expect((await server.call('DELETE', `/api-keys/${await keyOf(mine)}`)).status).toBe(204)
    expectError(await follow(link), 'gone')
    expect((await follow(other)).status).toBe(200)
    // Nobody puts another key into it.
    link.searchParams.set('key', other.searchParams.get('key') ?? '')
    expectError(await follow(link), 'unauthorized')
  })

  test('ends when its key expires', async () => {
    const expiresAt = new Date(Date.now() + 4_000).toISOString()
    const made = await server.call('POST', '/api-keys', { name: 'short', scopes: ['conversations:read'], expiresAt })
    const link = await linkFor({ 'x-hl-api-key': String(made.body['key']) })
    const answers: number[] = []
    await expect
      .poll(async () => answers.push((await follow(link)).status) && answers.at(-1), { interval: 200 })
      .toBe(410)
    expect(new Set(answers)).toEqual(new Set([200, 410]))
  })

  test('ends with its conversation', async () => {
    const { conversationId: doomed } = await createLong(server, 150)
    await archiverOn(server).round()
    const link = await linkFor({}, doomed)
    expect((await follow(link)).status).toBe(200)
    await server.call('DELETE', `/conversations/${doomed}`)
    expectError(await follow(link), 'gone')
    const user = await createLong(server, 150, { externalUserId: 'somebody' })
    await archiverOn(server).round()
    const erased = await linkFor({}, user.conversationId)
    await server.call('DELETE', '/users/somebody')
    expectError(await follow(erased), 'not_found')
  })

  test('cannot be made by anybody else', async () => {
    const link = await linkFor()
    const other = await createOrganization(server)
    const [organizationId, keyId, expires] = [
      link.pathname.split('/')[2] ?? '',
      link.searchParams.get('key') ?? '',
      Number(link.searchParams.get('expires')),
    ]
    const parts = ['transcript', organizationId, conversationId, keyId, expires]
    const signed = (secret: string, text: string) => createHmac('sha256', secret).update(text).digest('base64url')
    const { organizations } = server.app.services
    const [own, foreign] = [await organizations.tokenSecret(organizationId), await organizations.tokenSecret(other.id)]
    expect(link.searchParams.get('signature')).toBe(signed(own, JSON.stringify(parts)))
    const signature = link.searchParams.get('signature') ?? ''
    const forged: Record<string, string> = {
      'the secret of another organization': signed(foreign, JSON.stringify(parts)),
      'a bare hash': createHash('sha256')
        .update(own + JSON.stringify(parts))
        .digest('base64url'),
      'nothing as the secret': signed('', JSON.stringify(parts)),
      'a token for a list': signed(own, JSON.stringify([parts.slice(0, 4), expires])),
      'a link of the time before links had keys': signed(own, JSON.stringify(parts.filter((part) => part !== keyId))),
      'the same bytes spelled otherwise': `${signature}=`,
      'a part of it': signature.slice(0, 20),
      'more than it': `${signature}AA`,
    }
    for (const [what, tried] of Object.entries(forged)) {
      const attempt = new URL(link)
      attempt.searchParams.set('signature', tried)
      expectError(await follow(attempt), 'unauthorized', what)
    }
    const moved = new URL(link)
    moved.pathname = moved.pathname.replace(organizationId, other.id)
    expectError(await follow(moved), 'unauthorized', 'another organization')
    const old = new URL(link)
    old.searchParams.delete('key')
    expectError(await follow(old), 'unauthorized', 'no key')
  })

  test('shows no system text from the moment on in which its persona is secret', async () => {
    const personaText = 'The hidden recipe of the house of Canary'
    const { personaId } = await createPersona(server, { personaText }, { text: 'Yes.' })
    const started = await server.call<Conversation>('POST', '/conversations/persona', { personaId })
    const id = started.body.conversationId
    for (let i = 0; i < 62; i++) await server.call('PATCH', `/conversations/${id}/chat`, { message: `${i}` })
    await archiverOn(server).round()
    const link = await linkFor({}, id)
    expect((await follow(link)).text).toContain(personaText)
    await server.call('PATCH', `/personas/${personaId}`, { isSecret: true })
    const after = await follow(link)
    expect([after.status, after.text.includes(personaText), after.text.includes('Yes.')]).toEqual([200, false, true])
  })
})
