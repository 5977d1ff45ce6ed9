import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type Dispatcher, request } from 'undici'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createGuardedAgent, type ForbiddenAddress, forbiddenIn, type GuardOptions } from './guarded-agent.ts'

let server: Server
let port = 0
const agents: Dispatcher[] = []

beforeAll(async () => {
  server = createServer((_request, response) => response.end('reached'))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  port = (server.address() as AddressInfo).port
})
afterAll(async () => {
  await Promise.all(agents.map((agent) => agent.destroy()))
  server.close()
})

async function reach(host: string, options: Partial<GuardOptions> = {}): Promise<string | ForbiddenAddress | null> {
  const dispatcher = createGuardedAgent({ allowedHosts: [], ...options })
  agents.push(dispatcher)
  try {
    const { body } = await request(`http://${host}:${port}/`, { dispatcher })
    return await body.text()
  } catch (error) {
    return forbiddenIn(error)
  }
}

test.each(['127.0.0.1', 'localhost', '[::1]', '[::ffff:127.0.0.1]', '2130706433', '0x7f.1', '0.0.0.0'])(
  'does not reach %s',
  async (host) => {
    expect(await reach(host)).toBeInstanceOf(Error)
  },
)

test('reaches a host that is allowed, by its name or its address', async () => {
  expect(await reach('localhost', { allowedHosts: ['LocalHost'] })).toBe('reached')
  expect(await reach('127.0.0.1', { allowedHosts: ['127.0.0.1'] })).toBe('reached')
  expect(await reach('127.0.0.1', { allowedHosts: ['localhost'] })).toBeInstanceOf(Error)
})

test('checks the address and not the name', async () => {
  const lookup: GuardOptions['lookup'] = (_host, _options, done) => done(null, [{ address: '127.0.0.1', family: 4 }])
  expect(await reach('public.example', { lookup })).toMatchObject({
    host: 'public.example',
    message: expect.not.stringContaining('public.example'),
  })
  expect(await reach('public.example', { lookup, allowedHosts: ['public.example'] })).not.toBe('reached')
})

test('connects to the addresses that are public, and to no other of the name', async () => {
  const asked: string[] = []
  const lookup: GuardOptions['lookup'] = (host, _options, done) => {
    asked.push(host)
    done(null, [
      { address: '127.0.0.1', family: 4 },
      { address: '::1', family: 6 },
    ])
  }
  expect(await reach('two.example', { lookup })).toBeInstanceOf(Error)
  expect(asked).toEqual(['two.example'])
})
