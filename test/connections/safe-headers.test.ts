import { afterAll, beforeAll, expect, test } from 'vitest'
import { createConversation, createPersona, type Json, type RunningApp, startApp } from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'

const NOWHERE = '01a208a9-a60c-7002-837a-43e3cbe69b0e'
/** Meant to be kept for a moment. */
const DOCUMENTS = ['/openapi.json', '/docs', '/docs/static/swagger-ui.css', '/docs/static/swagger-initializer.js']

onEveryDatabase('every answer', (kind) => {
  let server: RunningApp
  beforeAll(async () => {
    server = await startApp(kind)
  })
  afterAll(() => server.close())

  function expectSafe(headers: Headers, where: string, keeps = 'private, no-store'): void {
    expect([where, headers.get('x-content-type-options')]).toEqual([where, 'nosniff'])
    expect([where, headers.get('cache-control')]).toEqual([where, keeps])
    expect([where, headers.get('content-security-policy')]).toEqual([
      where,
      expect.stringContaining("default-src 'none'"),
    ])
    expect([where, headers.get('content-security-policy')]).toEqual([
      where,
      expect.not.stringContaining("'unsafe-eval'"),
    ])
    expect([where, headers.get('referrer-policy')]).toEqual([where, 'no-referrer'])
    expect([where, headers.get('x-request-id')]).toEqual([where, expect.stringMatching(/^[0-9a-f-]{36}$/)])
  }

  test('of every operation is kept by nobody and runs nothing, with a key and without', async () => {
    const { body: document } = await server.call<{ paths: Record<string, Json> }>('GET', '/openapi.json')
    const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods)
        .filter((name) => /^(get|post|put|patch|delete)$/.test(name))
        .map((method) => [method.toUpperCase(), path.replaceAll(/\{[^}]+\}/g, NOWHERE)] as const),
    )
    expect(operations.length).toBeGreaterThan(50)
    for (const [method, path] of operations) {
      const body = method === 'GET' || method === 'DELETE' ? undefined : {}
      for (const headers of [{}, { 'x-hl-api-key': 'wrong' }]) {
        const answer = await server.call(method, path, body, headers)
        expectSafe(answer.headers, `${method} ${path}`)
      }
    }
    for (const path of ['/nothing', '/docs/nothing', '/docs/static/../../x', '/%ff']) {
      const answer = await server.call('GET', path)
      expectSafe(answer.headers, path)
      expect(answer.body).toMatchObject({ error: { code: expect.any(String) } })
    }
  })

  test('that is a success is so too, streams, files and new keys included', async () => {
    const id = await createConversation(server)
    await createPersona(server)
    const answers: [string, string, unknown?][] = [
      ['GET', '/conversations'],
      ['GET', `/conversations/${id}`],
      ['GET', '/personas'],
      ['GET', '/models'],
      ['PATCH', `/conversations/${id}/chat`, { message: 'x' }],
      ['POST', '/api-keys', { name: 'new', scopes: ['personas:read'] }],
      ['GET', `/conversations/${id}/export?format=markdown`],
      ['GET', '/metrics'],
    ]
    for (const [method, path, body] of answers) {
      const answer = await server.call(method, path, body)
      expect([path, answer.status]).toEqual([path, expect.toSatisfy((status: number) => status < 300)])
      expectSafe(answer.headers, path)
    }
    for (const path of ['chat-sse', 'chat-http2']) {
      const answer = await server.call('PATCH', `/conversations/${id}/${path}`, { message: 'x' })
      expectSafe(answer.headers, path, 'private, no-store, no-transform')
    }
    const svg = '<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'
    const upload = await server.call('POST', `/conversations/${id}/attachments`, svg, { 'content-type': 'text/plain' })
    const file = await server.call('GET', `/conversations/${id}/attachments/${upload.body['attachmentId']}`)
    expectSafe(file.headers, 'a file')
    expect(file.headers.get('content-disposition')).toMatch(/^attachment/)
    expect(file.headers.get('content-security-policy')).toContain('sandbox')
  })

  test('at the address that is printed tells a browser what this is', async () => {
    const page = await fetch(`${server.url}/`, { headers: { accept: 'text/html,application/xhtml+xml' } })
    expect(page.status).toBe(200)
    expectSafe(page.headers, '/')
    expect(await page.text()).toContain('<h1>Dramatis</h1>')
    expect((await fetch(`${server.url}/`)).status).toBe(401)
  })

  test('that is a document is packed once, and not sent again to who has it', async () => {
    for (const path of DOCUMENTS) {
      const first = await fetch(server.url + path)
      expect(first.status, path).toBe(200)
      expectSafe(first.headers, path, 'public, max-age=60')
      expect(first.headers.get('content-encoding')).toBe('gzip')
      const text = await first.text()
      const plain = await fetch(server.url + path, { headers: { 'accept-encoding': 'identity' } })
      expect(plain.headers.get('content-encoding')).toBe(null)
      expect(await plain.text()).toBe(text)
      const again = await fetch(server.url + path, { headers: { 'if-none-match': first.headers.get('etag') ?? '' } })
      expect(again.status).toBe(304)
    }
    const page = await (await fetch(`${server.url}/docs`)).text()
    expect(page).toContain('<title>Dramatis API</title>')
    expect(page).not.toMatch(/<script(?![^>]*\bsrc=)/)
    // As a browser reads it that came by way of a proxy with a path of its own.
    for (const at of ['/docs', '/docs/']) {
      const html = await (await fetch(server.url + at)).text()
      const files = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, file = '']) => file)
      expect(files.length).toBeGreaterThan(4)
      for (const file of files) {
        const url = new URL(file, `https://proxy.example/dramatis${at}`)
        expect(url.pathname).toMatch(/^\/dramatis\/docs\/static\//)
        expect((await fetch(server.url + url.pathname.slice('/dramatis'.length))).status).toBe(200)
      }
    }
  })
})
