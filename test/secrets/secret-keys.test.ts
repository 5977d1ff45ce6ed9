import { randomBytes } from 'node:crypto'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { sealAnew } from '../../server/src/features/secrets/secret-rotation.ts'
import { createOrganization, type RunningApp, serve } from '../support/app.ts'
import { onEveryDatabase, type TestDatabase } from '../support/databases.ts'
import { environmentOf, runCli } from '../support/process.ts'
import { startToolServer, type ToolServer } from '../support/tool-server.ts'
import { readConversation, startWithTools } from '../support/tools.ts'

const [OLD, NEW, THIRD] = Array.from({ length: 3 }, () => randomBytes(32).toString('base64')) as [
  string,
  string,
  string,
]

onEveryDatabase('the key of secrets', (kind) => {
  let place: TestDatabase
  let service: ToolServer
  let server: RunningApp | null = null
  beforeAll(async () => {
    service = await startToolServer()
  })
  afterAll(() => service.close())
  beforeEach(async () => {
    place = await kind.create()
  })
  afterEach(async () => {
    await server?.close()
    server = null
    await place.remove()
  })

  /** Ends the server there is, and starts one with these keys. */
  async function start(current?: string, previous?: string): Promise<RunningApp> {
    await server?.close()
    server = await serve(place, {
      DRAMATIS_ALLOW_PRIVATE_HOSTS: '127.0.0.1',
      ...(current === undefined ? {} : { DRAMATIS_SECRET_KEY: current }),
      ...(previous === undefined ? {} : { DRAMATIS_SECRET_KEY_PREVIOUS: previous }),
    })
    return server
  }
  const put = async (on: RunningApp, name: string, headers = {}) =>
    expect((await on.call('PUT', `/secrets/${name}`, { value: `value of ${name}` }, headers)).status).toBe(204)
  const readable = async (on: RunningApp) => {
    const { body } = await on.call<{ data: { name: string; isReadable: boolean }[] }>('GET', '/secrets')
    return Object.fromEntries(body.data.map(({ name, isReadable }) => [name, isReadable]))
  }
  const messages = (on: RunningApp, level: number) =>
    on.logged.filter((line) => line['level'] === level).map(({ msg }) => String(msg))
  const warnings = (on: RunningApp) => messages(on, 40).filter((text) => text.includes('SECRET_KEY'))
  const notices = (on: RunningApp) => messages(on, 30).filter((text) => text.includes('SECRET_KEY'))

  /** What a tool that names the secret TOKEN is answered, or sends. */
  async function resultOf(on: RunningApp, name = 'TOKEN'): Promise<string> {
    const tool = {
      type: 'http',
      name: 'ask',
      description: 'Asks.',
      inputSchema: { type: 'object' },
      method: 'GET',
      url: `${service.url}/echo/a`,
      headers: { 'x-token': `{{secret:${name}}}` },
    }
    const script = { rehearsal: { text: 'Done.', toolCalls: [[{ name: 'ask', input: {} }]] } }
    service.requests.length = 0
    const id = await startWithTools(on, [tool], script)
    expect((await on.call('POST', `/conversations/${id}/chat`, { message: 'Go' })).status).toBe(200)
    const sent = service.requests.map(({ headers }) => `sent ${headers['x-token']}`)
    const { chatMessages } = await readConversation(on, id)
    return sent[0] ?? chatMessages.find(({ role }) => role === 'tool')?.content ?? ''
  }
  const doctor = async (env: Record<string, string>) =>
    (await runCli(['doctor'], environmentOf(place, { PORT: '0', ...env }))).stdout

  test('is another one: the call, the list, the start and the doctor say so', async () => {
    await put(await start(OLD), 'TOKEN')
    await put(server as RunningApp, 'OTHER')
    expect(await resultOf(server as RunningApp)).toBe('sent value of TOKEN')
    expect(await readable(server as RunningApp)).toEqual({ TOKEN: true, OTHER: true })
    expect(warnings(server as RunningApp)).toEqual([])

    const changed = await start(NEW)
    expect(warnings(changed)).toEqual([expect.stringMatching(/^2 stored secrets cannot be opened, because another/)])
    expect(await readable(changed)).toEqual({ TOKEN: false, OTHER: false })
    expect(await resultOf(changed)).toBe(
      'Error: the secret TOKEN is there, but was encrypted with another DRAMATIS_SECRET_KEY.',
    )
    expect(await resultOf(changed, 'NOTHING')).toBe('Error: the secret NOTHING is not set.')
    expect(await doctor({ DRAMATIS_SECRET_KEY: NEW })).toMatch(/BAD\s+secrets\s+2 stored secrets cannot be opened/)
    expect(await doctor({ DRAMATIS_SECRET_KEY: OLD })).toMatch(/ok\s+secrets/)

    const without = await start()
    expect(warnings(without)).toEqual([expect.stringMatching(/^2 stored secrets .* DRAMATIS_SECRET_KEY is not set/)])
    expect(await readable(without)).toEqual({ TOKEN: false, OTHER: false })
    expect(await resultOf(without)).toMatch(/^Error: the secret TOKEN is there, but .* without DRAMATIS_SECRET_KEY\.$/)
    expect(await doctor({})).toMatch(/BAD\s+secrets\s+2 stored secrets .* is not set/)

    // Nothing of this has changed what is stored, and a new value makes one readable.
    await put(await start(NEW), 'TOKEN')
    expect(await readable(server as RunningApp)).toEqual({ TOKEN: true, OTHER: false })
    await start(OLD)
    expect(await readable(server as RunningApp)).toEqual({ TOKEN: false, OTHER: true })
    expect(warnings(server as RunningApp)).toEqual([expect.stringMatching(/^1 stored secret cannot/)])
  })

  test('is rotated: the start seals with the new one, and then the old one can go', async () => {
    const before = await start(OLD)
    // More than a batch.
    const names = Array.from({ length: 150 }, (_, i) => `S${i}`)
    await Promise.all(names.map((name) => put(before, name)))
    const other = { 'x-hl-api-key': (await createOrganization(before)).key }
    await put(before, 'THEIRS', other)
    const times = async () => (await (server as RunningApp).call('GET', '/secrets')).body
    const stored = await times()
    await put(await start(THIRD), 'LATER')
    // While another one is still out there both are named, in any order.
    expect(await doctor({ DRAMATIS_SECRET_KEY: NEW, DRAMATIS_SECRET_KEY_PREVIOUS: `${OLD},${THIRD}` })).toMatch(
      /note\s+secrets\s+152 are encrypted with a previous key/,
    )
    const rotating = await start(NEW, `${THIRD}, ${OLD}`)
    expect(notices(rotating)).toEqual([
      expect.stringMatching(
        /^secrets sealed anew with DRAMATIS_SECRET_KEY: 152; .*DRAMATIS_SECRET_KEY_PREVIOUS can go$/,
      ),
    ])
    expect(warnings(rotating)).toEqual([])
    expect(await resultOf(rotating, 'S149')).toBe('sent value of S149')

    const again = await start(NEW, OLD)
    expect(notices(again)).toEqual([expect.stringContaining('DRAMATIS_SECRET_KEY: 0;')])

    const after = await start(NEW)
    expect([...notices(after), ...warnings(after)]).toEqual([])
    expect(new Set(Object.values(await readable(after)))).toEqual(new Set([true]))
    expect(await resultOf(after, 'LATER')).toBe('sent value of LATER')
    await after.call('DELETE', '/secrets/LATER')
    expect(await times()).toEqual(stored)
    const theirs = await after.call<{ data: object[] }>('GET', '/secrets', undefined, other)
    expect(theirs.body.data).toEqual([expect.objectContaining({ name: 'THEIRS', isReadable: true })])
  })

  test('is rotated by several at once, beside somebody who gives new values', async () => {
    const before = await start(OLD)
    for (let i = 0; i < 20; i++) await put(before, `S${i}`)
    const { database } = before.app.services
    const keys = { current: Buffer.from(NEW, 'base64'), previous: [Buffer.from(OLD, 'base64')] }
    const renewed = before.call('PUT', '/secrets/S7', { value: 'renewed' })
    await Promise.all([sealAnew(database, keys), sealAnew(database, keys), renewed])
    const after = await start(NEW, OLD)
    expect(await resultOf(after, 'S7')).toBe('sent renewed')
    expect(await resultOf(after, 'S8')).toBe('sent value of S8')
    expect(await readable(await start(NEW))).toEqual(
      Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`S${i}`, true])),
    )
  })

  test('is found out for secrets from before that was written down', async () => {
    await put(await start(OLD), 'TOKEN')
    const forget = () =>
      (server as RunningApp).app.services.database.write([
        { sql: `update secret set key_id = '-'`, parameters: [], guard: 'there_is_one' },
      ])
    await forget()
    expect(warnings(await start(NEW))).toEqual([expect.stringMatching(/^1 stored secret cannot/)])
    expect(warnings(await start(OLD))).toEqual([])
    expect(notices(server as RunningApp)).toEqual([])
    expect(await readable(server as RunningApp)).toEqual({ TOKEN: true })
    await forget()
    expect(notices(await start(NEW, OLD))).toEqual([expect.stringContaining(': 1;')])
    expect(await resultOf(await start(NEW))).toBe('sent value of TOKEN')
  })
})

test('a previous key without a present one is a mistake, and so is half a key', async () => {
  const alone = await runCli(['doctor'], { DRAMATIS_SECRET_KEY_PREVIOUS: OLD })
  expect(alone.stdout).toContain('DRAMATIS_SECRET_KEY_PREVIOUS is set and DRAMATIS_SECRET_KEY is not')
  const half = await runCli(['doctor'], { DRAMATIS_SECRET_KEY: NEW, DRAMATIS_SECRET_KEY_PREVIOUS: `${OLD},half` })
  expect(half.stdout).toContain('Each key in DRAMATIS_SECRET_KEY_PREVIOUS must be 32 bytes in base64')
})
