import { expect, test } from 'vitest'
import { ADMIN_KEY } from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'
import { environmentOf, runCli, startServer } from '../support/process.ts'

onEveryDatabase('the page at /', (kind) => {
  test('is for browsers, and what it says is true', async () => {
    const place = await kind.create()
    const server = await startServer(place)
    try {
      const page = await fetch(`${server.url}/`, { headers: { accept: 'text/html,*/*;q=0.8' } })
      expect([page.status, page.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8'])
      const html = await page.text()
      const links = [...html.matchAll(/href="([^"]+)"/g)].map(([, to]) => new URL(`${to}`, page.url).href)
      expect(links.length).toBe(3)
      for (const link of links) expect([link, (await fetch(link)).status]).toEqual([link, 200])
      // The key was given, so the start has shown none, and has printed the command.
      expect(html).toContain('The key is that of <code>DRAMATIS_API_KEY</code>')
      expect(server.stdout).not.toContain(ADMIN_KEY)
      expect(server.stdout).toMatch(/^curl /m)
      const [, words = ''] = /<code>npx dramatis (keys create) '[^']+'<\/code>/.exec(html) ?? []
      const { code, stdout } = await runCli([...words.split(' '), 'my key'], environmentOf(place))
      expect(code).toBe(0)
      expect((await server.call('GET', '/personas', undefined, stdout.trim())).status).toBe(200)
      expect((await fetch(`${server.url}/`)).status).toBe(401)
      expect((await server.call('GET', '/')).status).toBe(404)
    } finally {
      server.kill('SIGTERM')
      await server.ended
      await place.remove()
    }
  })
})
