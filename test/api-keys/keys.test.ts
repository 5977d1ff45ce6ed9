import { afterAll, beforeAll, expect, test } from 'vitest'
import { createApiKeyService } from '../../server/src/features/api-keys/api-key-service.ts'
import { SCOPES, type Scope } from '../../server/src/http/requests/caller.ts'
import {
  ADMIN_KEY,
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

type Key = {
  id: string
  name: string
  prefix: string
  key: string
  scopes: Scope[]
  lastUsedAt: string | null
  revokedAt: string | null
  expiresAt: string | null
}

const NOWHERE = '01890000-0000-7000-8000-000000000000'

onEveryDatabase('API keys', (kind) => {
  let server: RunningApp
  beforeAll(async () => {
    server = await startApp(kind)
  })
  afterAll(() => server.close())

  const bare = async (path: string, headers: Record<string, string>, method = 'GET') => {
    const response = await fetch(server.url + path, { method, headers })
    const text = await response.text()
    return { status: response.status, headers: response.headers, text, body: text === '' ? null : JSON.parse(text) }
  }
  const create = async (body: Json) => (await server.call<Key>('POST', '/api-keys', body)).body
  const list = async () => (await server.call<{ data: Key[] }>('GET', '/api-keys')).body.data
  const as = (key: string) => ({ 'x-hl-api-key': key })

  const rotate = (id: string, body: Json = {}, headers: Record<string, string> = {}) =>
    server.call<Key>('POST', `/api-keys/${id}/rotate`, body, headers)

  test('are rotated: a new one like the old one, which ends at once or after a grace', async () => {
    const expiresAt = new Date(Date.now() + 3_600_000).toISOString()
    const old = await create({ name: 'k', scopes: ['personas:read'], expiresAt, dailyTokens: 500 })
    const before = Date.now()
    const young = await rotate(old.id, { graceSeconds: 60 })
    expect(young.body).toMatchObject({ name: 'k', scopes: ['personas:read'], expiresAt, dailyTokens: 500 })
    expect(young.body.key).not.toBe(old.key)
    const statuses = () =>
      Promise.all([old, young.body].map(async ({ key }) => (await bare('/personas', as(key))).status))
    expect(await statuses()).toEqual([200, 200])
    const end = Date.parse((await list()).find(({ id }) => id === old.id)?.expiresAt ?? '')
    expect(end).toBeGreaterThanOrEqual(before + 60_000)
    expect(end).toBeLessThanOrEqual(Date.now() + 60_000)
    // A second time without: then it ends at once, and there is nothing more to rotate.
    const third = await rotate(old.id)
    expect(third.status).toBe(200)
    expect(await statuses()).toEqual([401, 200])
    expectError(await rotate(old.id), 'not_found')
    // A grace is no way to live longer.
    await rotate(young.body.id, { graceSeconds: 7_776_000 })
    expect((await list()).find(({ id }) => id === young.body.id)?.expiresAt).toBe(expiresAt)
  })

  test('are rotated by one of several who want it at once, and never shown again', async () => {
    const old = await create({ name: 'race', scopes: ['personas:read'] })
    const answers = await Promise.all([rotate(old.id), rotate(old.id), rotate(old.id)])
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 404, 404])
    expect((await list()).filter(({ name }) => name === 'race')).toHaveLength(2)
    const once = await create({ name: 'once', scopes: ['personas:read'] })
    const key = { 'idempotency-key': 'rotate-once' }
    const first = await rotate(once.id, {}, key)
    expect(first.body.key).toMatch(/^dram_/)
    const again = await rotate(once.id, {}, key)
    expect(again.body).toEqual({ ...first.body, key: null })
  })

  test('are rotated once by servers whose clocks differ', async () => {
    const { id } = await create({ name: 'clocks', scopes: ['personas:read'] })
    const { database, ids, organizations } = server.app.services
    const organization = await organizations.first()
    // Each is a millisecond behind the one before, and none writes before all have read.
    let now = Date.now()
    const allHaveRead = Promise.withResolvers<void>()
    let reads = 0
    const read: typeof database.read = async (statement) => {
      const rows = await database.read(statement)
      if (++reads === 3) allHaveRead.resolve()
      await allHaveRead.promise
      return rows as never
    }
    const service = createApiKeyService({ database: { ...database, read }, ids, clock: () => now-- })
    const rotations = [0, 0, 0].map((graceMs) => service.rotate(organization?.id ?? '', id, graceMs))
    const outcomes = (await Promise.allSettled(rotations)).map(({ status }) => status)
    expect(outcomes.sort()).toEqual(['fulfilled', 'rejected', 'rejected'])
  })

  test('are not rotated by who may do less, nor from another organization', async () => {
    const admin = (await list()).find(({ name }) => name === 'bootstrap') as Key
    const small = await createKey(server, ['admin:write', 'personas:read'])
    const refused = expectError(await rotate(admin.id, {}, small), 'forbidden')
    expect(refused.message).toContain('cannot give it away')
    expect((await bare('/personas', as(ADMIN_KEY))).status).toBe(200)
    const other = { 'x-hl-api-key': (await createOrganization(server)).key }
    expectError(await rotate(admin.id, {}, other), 'not_found')
    expectError(await rotate(NOWHERE), 'not_found')
    for (const graceSeconds of [-1, 1.5, 7_776_001, '60']) {
      expectError(await rotate(admin.id, { graceSeconds }), 'bad_request')
    }
    expectError(await rotate(admin.id, {}, await createKey(server, ['admin:read'])), 'forbidden')
  })

  test('are accepted in either header', async () => {
    for (const headers of [
      { 'x-hl-api-key': ADMIN_KEY },
      { 'X-HL-API-KEY': ADMIN_KEY },
      { authorization: `Bearer ${ADMIN_KEY}` },
      { Authorization: `bearer ${ADMIN_KEY}` },
      { 'x-hl-api-key': '', authorization: `Bearer ${ADMIN_KEY}` },
    ]) {
      expect((await bare('/personas', headers as Record<string, string>)).status, JSON.stringify(headers)).toBe(200)
    }
  })

  test.each([
    ['no key', {}],
    ['an unknown key', { 'x-hl-api-key': `${ADMIN_KEY}x` }],
    ['a key of other letters', { 'x-hl-api-key': ADMIN_KEY.toUpperCase() }],
    ['an unknown bearer token', { authorization: 'Bearer nonsense' }],
    ['a bearer token that is empty', { authorization: 'Bearer ' }],
    ['another scheme', { authorization: `Basic ${Buffer.from(`x:${ADMIN_KEY}`).toString('base64')}` }],
    ['a key that is SQL', { 'x-hl-api-key': "' or '1'='1" }],
    ['a wrong key before a right token', { 'x-hl-api-key': 'wrong', authorization: `Bearer ${ADMIN_KEY}` }],
    ['a wrong key twice', { 'x-hl-api-key': 'wrong', authorization: 'Bearer wrong' }],
  ])('refuses %s with 401, also where nothing is', async (_what, headers) => {
    for (const path of [
      '/personas',
      '/conversations',
      '/api-keys',
      '/models',
      '/metrics',
      '/nothing/here',
      '/api/personas',
    ]) {
      expectError(await bare(path, headers as Record<string, string>), 'unauthorized', path)
    }
    expectError(await bare(`/personas?x-hl-api-key=${ADMIN_KEY}`, headers as Record<string, string>), 'unauthorized')
  })

  test('are not needed for health, readiness and the documents', async () => {
    for (const path of ['/healthz', '/readyz', '/openapi.json', '/docs/', '/api/healthz']) {
      const response = await fetch(server.url + path)
      expect([path, response.status]).toEqual([path, 200])
      expect(response.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/)
      await response.arrayBuffer()
    }
  })

  test('are shown once, and then only by their beginning', async () => {
    const made = await create({ name: 'once' })
    expect(made.key.length).toBeGreaterThanOrEqual(32)
    expect(made.key.startsWith(made.prefix)).toBe(true)
    const listed = await server.call<{ data: Key[] }>('GET', '/api-keys')
    expect(listed.text).not.toContain(made.key)
    const found = listed.body.data.find(({ id }) => id === made.id)
    const { key: _secret, ...shown } = made
    expect(found).toEqual(shown)
    expect(JSON.stringify(server.logged)).not.toContain(made.key)
    expect(JSON.stringify(server.logged)).not.toContain(ADMIN_KEY)
  })

  test('have no admin scope unless it is asked for', async () => {
    const made = await create({ name: 'plain' })
    expect(made.scopes).toEqual(SCOPES.filter((scope) => !scope.startsWith('admin:')))
    expect((await server.call('GET', '/personas', undefined, as(made.key))).status).toBe(200)
    expectError(await server.call('GET', '/api-keys', undefined, as(made.key)), 'forbidden')
  })

  test('open exactly what their scopes say', async () => {
    const persona = await createPersona(server)
    const conversationId = await createConversation(server)
    const c = `/conversations/${conversationId}`
    const p = `/personas/${persona['personaId']}`
    const version = { aiSystem: 'rehearsal', model: 'rehearsal' }
    const routes: [Scope, string, string, Json?][] = [
      ['conversations:read', 'GET', '/conversations'],
      ['conversations:read', 'GET', '/conversations/persona/any'],
      ['conversations:read', 'GET', '/conversations/user/somebody'],
      ['conversations:read', 'GET', c],
      ['conversations:write', 'POST', '/conversations', version],
      ['conversations:write', 'POST', '/conversations/persona', { personaId: persona['personaId'] }],
      ['conversations:write', 'PATCH', `${c}/set-active`, { isActive: true }],
      ['conversations:write', 'PATCH', `${c}/set-metadata`, { metadata: {} }],
      ['conversations:write', 'PATCH', `${c}/set-conversation-name`, { conversationName: 'x' }],
      ['conversations:write', 'PATCH', `${c}/set-conversation-status`, { conversationStatus: 'open' }],
      ['conversations:write', 'PATCH', `${c}/update`, {}],
      ['conversations:write', 'PATCH', `${c}/chat`, { message: 'x' }],
      ['conversations:write', 'POST', `${c}/chat-sse`, { message: 'x' }],
      ['conversations:write', 'PATCH', `${c}/chat-http2`, { message: 'x' }],
      ['feedback:write', 'PATCH', `${c}/set-score`, { score: 1 }],
      ['personas:read', 'GET', '/personas'],
      ['personas:read', 'GET', '/personas/minimal'],
      ['personas:read', 'GET', p],
      ['personas:read', 'GET', `${p}/${persona['personaVersionId']}`],
      ['personas:write', 'POST', '/personas', { ...version, personaName: 'x', personaDescription: 'x' }],
      ['personas:write', 'PATCH', p, {}],
      ['personas:write', 'POST', p, version],
      ['personas:write', 'PATCH', `${p}/${persona['personaVersionId']}`, {}],
      ['admin:read', 'GET', '/api-keys'],
      ['admin:read', 'GET', '/metrics'],
      ['personas:write', 'DELETE', p],
      ['conversations:write', 'DELETE', c],
    ]
    for (const [scope, method, path, body] of routes) {
      const others = await createKey(
        server,
        SCOPES.filter((one) => one !== scope),
      )
      const refused = await server.call(method, path, body, others)
      expect(expectError(refused, 'forbidden', `${method} ${path} without ${scope}`).message).toContain(scope)
      const answer = await server.call(method, path, body, await createKey(server, [scope]))
      expect([method, path, answer.status]).toEqual([method, path, method === 'DELETE' ? 204 : 200])
    }
    const anyone = await createKey(server, ['reports:read'])
    expect((await server.call('GET', '/models', undefined, anyone)).status).toBe(200)
    expectError(await server.call('GET', '/nothing', undefined, anyone), 'not_found')
  })

  test('cannot give more than they have', async () => {
    const keeper = await createKey(server, ['admin:read', 'admin:write', 'personas:read'])
    const ask = (body: Json) => server.call<Key>('POST', '/api-keys', { name: 'x', ...body }, keeper)
    expect((await ask({ scopes: ['personas:read'] })).body.scopes).toEqual(['personas:read'])
    expect((await ask({})).body.scopes).toEqual(['personas:read'])
    const before = (await list()).length
    expectError(await ask({ scopes: ['personas:read', 'personas:write'] }), 'forbidden')
    expectError(await ask({ scopes: ['conversations:read'] }), 'forbidden')
    expect((await list()).length).toBe(before)
    const reader = await createKey(server, ['admin:read', 'personas:read'])
    expectError(await server.call('POST', '/api-keys', { name: 'x', scopes: ['personas:read'] }, reader), 'forbidden')
  })

  test('are refused when they are asked for wrongly', async () => {
    const before = (await list()).length
    for (const body of [
      {},
      { name: '' },
      { name: '   ' },
      { name: 7 },
      { name: 'x'.repeat(101) },
      { name: 'x', scopes: [] },
      { name: 'x', scopes: ['everything'] },
      { name: 'x', scopes: 'personas:read' },
      { name: 'x', scopes: [null] },
      { name: 'x', expiresAt: 'tomorrow' },
      { name: 'x', expiresAt: 1_900_000_000 },
      { name: 'x', expiresAt: '2001-01-01T00:00:00Z' },
    ]) {
      const error = expectError(await server.call('POST', '/api-keys', body), 'bad_request', JSON.stringify(body))
      expect(error.details.length, JSON.stringify(body)).toBeGreaterThan(0)
    }
    expect((await list()).length).toBe(before)
  })

  test('stop working when they expire', async () => {
    const inAn = (ms: number) => new Date(Date.now() + ms).toISOString()
    const lasting = await create({ name: 'lasting', expiresAt: inAn(3_600_000) })
    const expiresAt = inAn(4_000)
    const short = await create({ name: 'short', expiresAt })
    expect(short.expiresAt).toBe(expiresAt)
    const ask = ({ key }: Key) => server.call('GET', '/personas', undefined, as(key))
    await expect.poll(async () => (await ask(short)).status).toBe(401)
    expectError(await ask(short), 'unauthorized')
    expect((await ask(lasting)).status).toBe(200)
  })

  test('cannot expire on a day that there is not', async () => {
    const answer = await server.call('POST', '/api-keys', { name: 'x', expiresAt: '2999-02-31T00:00:00Z' })
    expectError(answer, 'bad_request')
  })

  test('stop working at once when they are revoked', async () => {
    const made = await create({ name: 'revoked' })
    expect((await server.call('GET', '/personas', undefined, as(made.key))).status).toBe(200)
    const revoked = await server.call('DELETE', `/api-keys/${made.id.toUpperCase()}`)
    expect([revoked.status, revoked.text]).toEqual([204, ''])
    expectError(await server.call('GET', '/personas', undefined, as(made.key)), 'unauthorized')
    expect((await list()).find(({ id }) => id === made.id)?.revokedAt).toMatch(/^\d{4}-/)
    expectError(await server.call('DELETE', `/api-keys/${made.id}`), 'not_found')
    expectError(await server.call('DELETE', `/api-keys/${NOWHERE}`), 'not_found')
    expectError(await server.call('DELETE', '/api-keys/nonsense'), 'bad_request')
  })

  test('remember when they were last used', async () => {
    const made = await create({ name: 'used' })
    expect(made.lastUsedAt).toBeNull()
    const lastUsedAt = async () => (await list()).find(({ id }) => id === made.id)?.lastUsedAt
    expect(await lastUsedAt()).toBeNull()
    await server.call('GET', '/personas', undefined, as(made.key))
    await expect.poll(lastUsedAt).toMatch(/^\d{4}-/)
  })

  test('belong to one organization', async () => {
    const other = await createOrganization(server)
    const mine = await create({ name: 'mine' })
    const theirs = await server.call<{ data: Key[] }>('GET', '/api-keys', undefined, as(other.key))
    expect(theirs.body.data.map(({ name }) => name)).toEqual(['admin'])
    expectError(await server.call('DELETE', `/api-keys/${mine.id}`, undefined, as(other.key)), 'not_found')
    expect((await server.call('GET', '/personas', undefined, as(mine.key))).status).toBe(200)
  })
})
