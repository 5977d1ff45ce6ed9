import { type ClientRequest, request } from 'node:http'
import { expect, test } from 'vitest'
import { ADMIN_KEY, startApp } from '../support/app.ts'
import { databaseKinds } from '../support/databases.ts'

const MIB = 1_024 * 1_024

test('more bytes of bodies than a key may send at a time are a 429 that says how the limit stands', async () => {
  const [kind] = databaseKinds
  if (!kind) throw new Error('there is no database')
  const server = await startApp(kind, { DRAMATIS_BODY_LIMIT: String(100 * MIB) })
  const sent: ClientRequest[] = []
  /** Says that 90 MiB will come, and sends nothing of them. */
  const announce = () => {
    const headers = {
      'x-hl-api-key': ADMIN_KEY,
      'content-type': 'application/json',
      'content-length': String(90 * MIB),
      expect: '100-continue',
    }
    const one = request(`${server.url}/personas`, { method: 'POST', agent: false, headers })
    one.on('error', () => {})
    one.flushHeaders()
    sent.push(one)
    return one
  }
  try {
    // The server asks for the body of the first, and so counts it.
    await new Promise((resolve) => announce().once('continue', resolve))
    const refused = await new Promise<{ statusCode?: number | undefined; headers: NodeJS.Dict<string | string[]> }>(
      (resolve) => announce().once('response', resolve),
    )
    expect(refused.statusCode).toBe(429)
    expect(refused.headers).toMatchObject({
      'retry-after': '1',
      'ratelimit-limit': String(128 * MIB),
      'ratelimit-remaining': String(38 * MIB),
      'ratelimit-reset': '1',
    })
  } finally {
    for (const one of sent) one.destroy()
    await server.close()
  }
})
