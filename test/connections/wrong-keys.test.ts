import { connect } from 'node:net'
import { expect, test } from 'vitest'
import { ADMIN_KEY, type RunningApp, startApp } from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'
import { createOpener } from '../support/raw-http.ts'

const WRONG = 'dram_not-a-key-of-anybody-at-all-0123456789'

const request = (key: string) => `GET /personas HTTP/1.1\r\nhost: a\r\nx-hl-api-key: ${key}\r\n\r\n`

onEveryDatabase('wrong keys', (kind) => {
  const from = (server: RunningApp, client: string, key?: string) =>
    server.call('GET', '/personas', undefined, {
      'x-forwarded-for': client,
      ...(key === undefined ? {} : { 'x-hl-api-key': key }),
    })

  /** The first answer to a wrong key that is a refusal. On a busy machine some of the bound has come back by then. */
  async function untilRefused(server: RunningApp, client: string) {
    for (let n = 0; n < 20; n++) {
      const answer = await from(server, client, WRONG)
      if (answer.status !== 401) return answer
    }
    throw new Error('as many wrong keys as it likes')
  }

  test('of one address are refused when there are many, right ones are not, nor those of others', async () => {
    const server = await startApp(kind, {
      DRAMATIS_WRONG_KEYS_PER_MINUTE: '20',
      DRAMATIS_TRUSTED_PROXIES: '127.0.0.0/8, ::1',
    })
    for (let n = 0; n < 20; n++) expect((await from(server, '192.0.2.7', WRONG)).status).toBe(401)
    const refused = await untilRefused(server, '192.0.2.7')
    expect(refused).toMatchObject({ status: 429, body: { error: { code: 'rate_limited' } } })
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(refused.headers.get('ratelimit-limit')).toBe('20')
    expect(refused.headers.get('ratelimit-remaining')).toBe('0')
    expect((await from(server, '192.0.2.7')).status).toBe(200)
    expect((await from(server, '192.0.2.8', WRONG)).status).toBe(401)
    // The client writes what stands before the address that the proxy has added.
    expect((await untilRefused(server, '192.0.2.99, 192.0.2.7')).status).toBe(429)
    // One customer of IPv6 has as many addresses as it likes.
    for (let n = 0; n < 20; n++) await from(server, `2001:db8:1:2::${n}`, WRONG)
    expect((await untilRefused(server, '2001:db8:1:2:ffff::1')).status).toBe(429)
    expect(server.logged.some(({ client }) => client === '192.0.2.7')).toBe(true)
    await server.close()
  })

  test('that come one behind the other on a connection close it when there are too many', async () => {
    const server = await startApp(kind, { DRAMATIS_WRONG_KEYS_PER_MINUTE: '5' })
    const open = createOpener(server)
    const statuses = (text: string) => text.match(/HTTP\/1\.1 \d+/g)?.map((line) => Number(line.slice(9)))
    const first = open()
    first.write(request(WRONG).repeat(20))
    const text = await first.closed()
    expect(statuses(text)).toEqual([401, 401, 401, 401, 401, 429])
    expect(text).toMatch(/^connection: close\r$/m)
    // The next ones have one answer each, and who stands behind the same address has all of theirs.
    const next = open()
    next.write(request(WRONG).repeat(20))
    expect(statuses(await next.closed())).toEqual([429])
    const right = open()
    right.write(request(ADMIN_KEY).repeat(3))
    await right.until((received) => statuses(received)?.length === 3)
    // What is behind a wrong key was asked by whoever tried it.
    const mixed = open()
    mixed.write(request(WRONG) + request(ADMIN_KEY))
    expect(statuses(await mixed.closed())).toEqual([429])
    right.socket.destroy()
    await server.close()
  })

  test('in great numbers on many connections let a right one through', async () => {
    const server = await startApp(kind, { DRAMATIS_WRONG_KEYS_PER_MINUTE: '5' })
    const many = Array.from({ length: 32 }, (_, n) => request(`${WRONG}${n}`)).join('')
    const { hostname, port } = new URL(server.url)
    let isOver = false
    let closed = 0
    const attack = () => {
      const socket = connect({ host: hostname, port: Number(port) }, () => socket.write(many))
      socket.on('error', () => {})
      socket.resume()
      socket.on('close', () => {
        closed++
        if (!isOver) attack()
      })
    }
    for (let n = 0; n < 50; n++) attack()
    await expect.poll(() => closed).toBeGreaterThan(50)
    const before = closed
    for (let n = 0; n < 20; n++) expect((await from(server, '')).status).toBe(200)
    // Each attacker had a few turns for each right answer, and not its hundreds of answers.
    expect(closed - before).toBeGreaterThan(0)
    // One for each connection that has ended or has not yet, and two for those of a moment in which some came back.
    expect(server.logged.filter(({ status }) => status === 429).length).toBeLessThanOrEqual(2 * closed + 50)
    isOver = true
    await server.close()
  })

  test('are counted by the connection where no proxy is trusted', async () => {
    const server = await startApp(kind, { DRAMATIS_WRONG_KEYS_PER_MINUTE: '5' })
    for (let n = 0; n < 5; n++) expect((await from(server, `192.0.2.${n}`, WRONG)).status).toBe(401)
    expect((await from(server, '192.0.2.77', WRONG)).status).toBe(429)
    expect((await from(server, '192.0.2.77')).status).toBe(200)
    await server.close()
  })
})
