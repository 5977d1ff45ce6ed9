import { execFileSync } from 'node:child_process'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ADMIN_KEY } from '../support/app.ts'
import { onEveryDatabase, type TestDatabase } from '../support/databases.ts'
import { environmentOf, runCli, startCli, startServer } from '../support/process.ts'

const STARTED = /listening on (http:\S+)\n[\s\S]*Or talk in the terminal[^\n]*\n/

onEveryDatabase('a start', (kind) => {
  async function withPlace(work: (place: TestDatabase) => Promise<void>): Promise<void> {
    const place = await kind.create()
    try {
      await work(place)
    } finally {
      await place.remove()
    }
  }

  test('on a port that is taken says so, and the next one prints the first key', async () => {
    await withPlace(async (place) => {
      const other = createServer()
      await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
      const { port } = other.address() as { port: number }
      const failed = await runCli(['start'], environmentOf(place, { PORT: String(port) }))
      expect(failed.code).toBe(1)
      expect(failed.stderr).toContain(`PORT ${port} of 127.0.0.1 is taken by another program`)
      expect(failed.stderr).not.toContain('    at ')
      await new Promise((resolve) => other.close(resolve))

      const server = startCli(['start'], environmentOf(place, { PORT: String(port) }))
      await server.waitFor(STARTED)
      const [, key = ''] = /API key {4}(dram_\S+)/.exec(server.stdout) ?? []
      const answer = await fetch(`http://127.0.0.1:${port}/personas`, { headers: { 'x-hl-api-key': key } })
      expect(answer.status).toBe(200)
      // Where `dramatis chat` would not look by itself.
      expect(server.stdout).toContain(`npx dramatis chat --url http://127.0.0.1:${port}\n`)
      server.kill('SIGTERM')
      await server.ended

      const again = startCli(['start'], environmentOf(place, { PORT: String(port) }))
      await again.waitFor(STARTED)
      expect(again.stdout).toContain('Lost? Make another: npx dramatis keys create')
      again.kill('SIGTERM')
      await again.ended
    })
  })

  test('at an address that is not of this machine names HOST', async () => {
    await withPlace(async (place) => {
      const { code, stderr } = await runCli(['start'], environmentOf(place, { HOST: '192.0.2.1', PORT: '0' }))
      expect(code).toBe(1)
      expect(stderr).toContain('HOST 192.0.2.1 is no address of this machine')
    })
  })

  test('with a key that nobody knows says that it is one more admin key', async () => {
    await withPlace(async (place) => {
      const first = await startServer(place)
      first.kill('SIGTERM')
      await first.ended
      const second = await startServer(place, { DRAMATIS_API_KEY: `${ADMIN_KEY}-another-one` })
      expect(second.stdout).toContain('DRAMATIS_API_KEY was not known: it is one more admin key')
      second.kill('SIGTERM')
      await second.ended
      const third = await startServer(place, { DRAMATIS_API_KEY: `${ADMIN_KEY}-another-one` })
      expect(third.stdout).not.toContain('was not known')
      third.kill('SIGHUP')
      expect((await third.ended).code).toBe(0)
    })
  })

  test('with a certificate and another key names the variable', async () => {
    await withPlace(async (place) => {
      const make = (name: string) => {
        const files = { cert: join(place.directory, `${name}.pem`), key: join(place.directory, `${name}-key.pem`) }
        const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=localhost']
        const out = ['-keyout', files.key, '-out', files.cert]
        execFileSync('openssl', ['req', '-x509', '-days', '2', ...curve, ...out], { stdio: 'ignore' })
        return files
      }
      const [one, two] = [make('one'), make('two')]
      const start = (cert: string, key: string) =>
        runCli(['start'], environmentOf(place, { DRAMATIS_TLS_CERT: cert, DRAMATIS_TLS_KEY: key }))
      expect((await start(one.cert, two.key)).stderr).toContain('DRAMATIS_TLS_KEY does not belong to')
      expect((await start(one.key, one.key)).stderr).toContain(
        'DRAMATIS_TLS_CERT names a file that holds no certificate',
      )
      expect((await start(one.cert, one.cert)).stderr).toContain(
        'DRAMATIS_TLS_KEY names a file that holds no private key',
      )
    })
  })
})
