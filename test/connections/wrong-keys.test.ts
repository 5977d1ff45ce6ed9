import { expect, test } from 'vitest'
import { type RunningApp, startApp } from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'

const WRONG = 'dram_not-a-key-of-anybody-at-all-0123456789'

onEveryDatabase('wrong keys', (kind) => {
  const from = (server: RunningApp, client: string, key?: string) =>
    server.call('GET', '/personas', undefined, {
      'x-forwarded-for': client,
      ...(key === undefined ? {} : { 'x-hl-api-key': key }),
    })

  test('of one address are refused when there are many, right ones are not, nor those of others', async () => {
    const server = await startApp(kind, {
      DRAMATIS_WRONG_KEYS_PER_MINUTE: '20',
      DRAMATIS_TRUSTED_PROXIES: '127.0.0.0/8, ::1',
    })
    for (let n = 0; n < 20; n++) expect((await from(server, '192.0.2.7', WRONG)).status).toBe(401)
    const refused = await from(server, '192.0.2.7', WRONG)
    expect(refused).toMatchObject({ status: 429, body: { error: { code: 'rate_limited' } } })
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(refused.headers.get('ratelimit-limit')).toBe('20')
    expect(refused.headers.get('ratelimit-remaining')).toBe('0')
    expect((await from(server, '192.0.2.7')).status).toBe(200)
    expect((await from(server, '192.0.2.8', WRONG)).status).toBe(401)
    // The client writes what stands before the address that the proxy has added.
    expect((await from(server, '192.0.2.99, 192.0.2.7', WRONG)).status).toBe(429)
    // One customer of IPv6 has as many addresses as it likes.
    for (let n = 0; n < 20; n++) await from(server, `2001:db8:1:2::${n}`, WRONG)
    expect((await from(server, '2001:db8:1:2:ffff::1', WRONG)).status).toBe(429)
    expect(server.logged.some(({ client }) => client === '192.0.2.7')).toBe(true)
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
