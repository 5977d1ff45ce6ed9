import { expect, test } from 'vitest'
import { expectError } from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'
import { startWithTwo } from '../support/two-organizations.ts'

const REHEARSAL = { aiSystem: 'rehearsal', model: 'rehearsal' }
const SIZE = 1_000_000

/** Bodies of 1 MB that take long to read: of many values, of many names, and with what has to be replaced. */
const HEAVY = {
  lists: JSON.stringify(REHEARSAL).replace('}', `,"a":[${'[],'.repeat(SIZE / 3)}0]}`),
  names: JSON.stringify({
    ...REHEARSAL,
    ...Object.fromEntries(Array.from({ length: SIZE / 12 }, (_, n) => [`n${n}`, 0])),
  }),
  escapes: JSON.stringify(REHEARSAL).replace('}', `,"s":"\\ud83d","a":[${'"",'.repeat(SIZE / 3)}0]}`),
}

onEveryDatabase('large bodies of one key', (kind) => {
  test('leave turns to small requests of others, and to their large ones', async () => {
    const { server, loud, quiet, start } = await startWithTwo(kind)
    const path = await start(quiet, REHEARSAL)
    const between = new Set<string>()
    for (const [name, body] of Object.entries(HEAVY)) {
      let over = 0
      const all = Array.from({ length: 40 }, () =>
        server.call('POST', '/conversations', body, loud).then(({ status }) => {
          expect(status).toBe(200)
          over++
        }),
      )
      const large = server.call('POST', '/conversations', body, quiet)
      while (over < 40) {
        expect((await server.call('GET', path, undefined, quiet)).status).toBe(200)
        between.add(`${name} ${over}`)
      }
      expect((await large).status).toBe(200)
      await Promise.all(all)
    }
    // How far they were when a small one was answered: where all are read at once, mostly at the beginning or the end.
    expect(between.size).toBeGreaterThan(45)
    await server.close()
  }, 120_000)

  test('that are refused or given up leave the line', async () => {
    const { server, loud, quiet } = await startWithTwo(kind)
    const send = (body: string, key = loud) => server.call('POST', '/conversations', body, key)
    const bodies = [
      `${HEAVY.lists}}`,
      HEAVY.lists.replace('rehearsal', '\\u0000'),
      HEAVY.lists.replace('"rehearsal"', '7'),
      `[${'[],'.repeat(SIZE / 3)}0]`,
      `{"a":${'['.repeat(40_000)}${']'.repeat(40_000)}}`,
    ]
    for (const body of [...bodies, ...bodies]) expectError(await send(body), 'bad_request')
    const giving = Array.from({ length: 10 }, async () => {
      const abort = new AbortController()
      const url = `${server.url}/conversations`
      const sent = fetch(url, {
        method: 'POST',
        body: HEAVY.lists,
        signal: abort.signal,
        headers: { 'content-type': 'application/json', ...loud },
      })
      setTimeout(() => abort.abort(), 20)
      await sent.catch(() => {})
    })
    await Promise.all(giving)
    for (const key of [loud, quiet]) expect((await send(HEAVY.lists, key)).status).toBe(200)
    await server.close()
  }, 60_000)
})
