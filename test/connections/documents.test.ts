import { gunzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ADMIN_KEY, expectError, type Json, type RunningApp, startApp } from '../support/app.ts'
import { databaseKinds } from '../support/databases.ts'
import { answersIn, createOpener, type RawConnection } from '../support/raw-http.ts'

const kind = databaseKinds[0]
if (!kind) throw new Error('there is no database')

describe('the page of the API', () => {
  let server: RunningApp
  let open: () => RawConnection
  beforeAll(async () => {
    server = await startApp(kind, { DRAMATIS_CORS_ORIGINS: 'https://page.example' })
    open = createOpener(server)
  })
  afterAll(() => server.close())

  /** Without a key, and without being unpacked. */
  const get = (path: string, headers: Record<string, string> = {}) =>
    new Promise<{ status: number; headers: Headers; bytes: Buffer }>((resolve) => {
      const connection = open()
      const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
      connection.write(`GET ${path} HTTP/1.1\r\nhost: x\r\n${lines.join('')}\r\n`)
      connection
        .until((received) => answersIn(received).length > 0)
        .then((received) => {
          connection.socket.destroy()
          const [answer] = answersIn(received)
          if (answer) resolve({ ...answer, bytes: Buffer.from(answer.body, 'latin1') })
        })
    })

  test('runs nothing but its own scripts, and every file that it names is there', async () => {
    for (const path of ['/docs', '/docs/', '/api/docs/']) {
      const page = await get(path)
      expect(page.status).toBe(200)
      expect(page.headers.get('x-content-type-options')).toBe('nosniff')
      const policy = page.headers.get('content-security-policy') ?? ''
      expect(policy).toMatch(/script-src 'self';/)
      expect(policy).not.toMatch(/script[^;]*unsafe|https?:|\*/)
      const html = page.bytes.toString()
      // With such a policy none of these would run.
      expect(html).not.toMatch(/<script(?![^>]*\bsrc=)|\son\w+=|<style|\sstyle=/i)
      const names = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(
        ([, name]) => new URL(`${name}`, `http://x${path}`),
      )
      expect(names.length).toBeGreaterThanOrEqual(7)
      for (const { pathname } of names) {
        const file = await get(pathname)
        expect(file.status, pathname).toBe(200)
        expect(file.headers.get('x-content-type-options')).toBe('nosniff')
        expect(file.headers.get('cache-control')).toBe('public, max-age=60')
      }
    }
  })

  test.each([
    ['/openapi.json', 'application/json; charset=utf-8'],
    ['/docs', 'text/html; charset=utf-8'],
    ['/docs/json', 'application/json; charset=utf-8'],
    ['/docs/yaml', 'application/x-yaml'],
    ['/docs/static/swagger-ui-bundle.js', 'application/javascript; charset=utf-8'],
    ['/docs/static/swagger-ui.css', 'text/css; charset=utf-8'],
  ])('%s is packed once, and not sent to who has it', async (path, type) => {
    const plain = await get(path)
    expect([plain.status, plain.headers.get('content-type')]).toEqual([200, type])
    expect(plain.headers.get('content-encoding')).toBeNull()
    expect(plain.headers.get('vary')).toMatch(/accept-encoding/i)
    const packed = await get(path, { 'accept-encoding': 'br, gzip;q=0.8' })
    expect(packed.headers.get('content-encoding')).toBe('gzip')
    expect(gunzipSync(packed.bytes).equals(plain.bytes)).toBe(true)
    expect((await get(path, { 'accept-encoding': 'gzip;q=0' })).headers.get('content-encoding')).toBeNull()
    const etag = plain.headers.get('etag') ?? ''
    expect(packed.headers.get('etag')).toBe(etag)
    const known = await get(path, { 'if-none-match': `"other", ${etag}`, origin: 'https://page.example' })
    expect([known.status, known.bytes.length, known.headers.get('etag')]).toEqual([304, 0, etag])
    expect(known.headers.get('vary')).toMatch(/origin/i)
    expect(known.headers.get('cache-control')).toBe('public, max-age=60')
    expect((await get(path, { 'if-none-match': '"other"', range: 'bytes=0-1' })).bytes.equals(plain.bytes)).toBe(true)
  })

  test.each([
    '/docs/static',
    '/docs/static/',
    '/docs/static/nothing.js',
    '/docs/static/index.html',
    '/docs/static/./swagger-ui.css',
    '/docs/static//swagger-ui.css',
    '/docs/static/x/../swagger-ui.css',
    '/docs/static/%73wagger-ui.css',
    '/docs/static/..%2f..%2fpackage.json',
    '/docs/static/%2e%2e/%2e%2e/package.json',
    '/docs/static/%00',
    '/docs/static/..%5c..%5cpackage.json',
    '/docs/json/',
  ])('%s is nothing, in the shape of all errors', async (path) => {
    // As it stands: other clients would settle the dots by themselves.
    const answer = await get(path, { 'x-hl-api-key': ADMIN_KEY })
    expect(answer.headers.get('cache-control')).toBe('private, no-store')
    const text = answer.bytes.toString()
    const body = JSON.parse(text) as Json
    const code = path.includes('%00') ? 'bad_request' : 'not_found'
    expectError({ status: answer.status, headers: answer.headers, body, text }, code, path)
  })
})
