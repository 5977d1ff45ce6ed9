import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ADMIN_KEY, startApp } from '../support/app.ts'
import { tablesWith } from '../support/canaries.ts'
import { onEveryDatabase } from '../support/databases.ts'
import { startServer } from '../support/process.ts'

const PROVIDER_KEY = 'a-provider-key-that-nobody-may-see-0815'

onEveryDatabase('a key', (kind) => {
  test('is in no table and no line of the log, sent once or again, in a good request or a bad one', async () => {
    const server = await startApp(kind, { DRAMATIS_SECRET_KEY: Buffer.alloc(32, 7).toString('base64') })
    try {
      const header = { 'idempotency-key': 'once' }
      const body = { name: 'made', scopes: ['conversations:read'] }
      const made = await server.call('POST', '/api-keys', body, header)
      const again = await server.call('POST', '/api-keys', body, header)
      const key = String(made.body['key'])
      expect([made.status, again.status, again.text.includes(key)]).toEqual([200, 200, false])
      const secret = 'a-secret-of-a-tool-that-nobody-may-see'
      await server.call('PUT', '/secrets/mine', { value: secret, hosts: ['example.com'] })
      const wrong = [
        await server.call('POST', '/api-keys', { name: { [secret]: secret }, scopes: [secret] }),
        await server.call('PUT', '/secrets/mine', { value: { text: secret } }),
        await server.call('PUT', `/secrets/${secret}!`, { value: secret }),
        await server.call('POST', '/conversations', `{"aiSystem": "${secret}`),
      ]
      for (const { status, text } of wrong) {
        expect(status).toBe(400)
        expect(text).not.toContain(secret)
      }
      await server.call('GET', `/conversations?${secret}=${key}`, undefined, { 'x-hl-api-key': key })
      await server.call('GET', '/conversations', undefined, { authorization: `Bearer ${key}x` })
      for (const one of [key, secret, ADMIN_KEY]) {
        expect(JSON.stringify(server.logged)).not.toContain(one)
        expect(await tablesWith(server.place, one)).toEqual([])
      }
    } finally {
      await server.close()
    }
  })

  test('is in no report that Node.js writes of a process that it ends', async () => {
    const place = await kind.create()
    const folder = mkdtempSync(join(tmpdir(), 'dramatis-test-'))
    try {
      const server = await startServer(place, {
        NODE_OPTIONS: `--report-on-signal --report-directory=${folder}`,
        OPENAI_API_KEY: PROVIDER_KEY,
      })
      server.kill('SIGUSR2')
      const reports = () => readdirSync(folder).map((name) => readFileSync(join(folder, name), 'utf8'))
      await expect.poll(() => reports().some((text) => text.trimEnd().endsWith('}'))).toBe(true)
      server.kill('SIGTERM')
      await server.ended
      for (const text of reports()) {
        expect(text).toContain('javascriptHeap')
        expect(text).not.toContain(ADMIN_KEY)
        expect(text).not.toContain(PROVIDER_KEY)
      }
    } finally {
      rmSync(folder, { recursive: true, force: true })
      await place.remove()
    }
  })
})
