import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { ADMIN_KEY } from '../support/app.ts'
import { databaseKinds, type TestDatabase } from '../support/databases.ts'
import { type ServerProcess, startServer } from '../support/process.ts'

const PROVOKER = pathToFileURL(join(import.meta.dirname, '../support/provoke.js'))

let place: TestDatabase | undefined
let server: ServerProcess | undefined
afterAll(async () => {
  server?.kill('SIGKILL')
  await server?.ended
  await place?.remove()
})

test('an error that nobody handles is logged and counted, and the process goes on', async () => {
  place = await databaseKinds[0]?.create()
  if (!place) throw new Error('there is no database')
  server = await startServer(place, { NODE_OPTIONS: `--import ${PROVOKER}` })
  const { url, call } = server
  const counted = async () => {
    const metrics = await fetch(`${url}/metrics`, { headers: { 'x-hl-api-key': ADMIN_KEY } })
    return [...(await metrics.text()).matchAll(/^dramatis_unhandled_errors_total.*$/gm)].map(([line]) => line)
  }
  const conversation = { aiSystem: 'rehearsal', model: 'rehearsal', configuration: { rehearsal: { delayMs: 1_000 } } }
  const started = (await call('POST', '/conversations', conversation)).body as { conversationId: string }
  const turn = call('POST', `/conversations/${started.conversationId}/chat`, { message: 'Hello' })

  server.kill('SIGUSR2')
  const logged = await server.waitFor(/.*an exception out of nowhere.*/)
  expect(JSON.parse(logged[0])).toMatchObject({ level: 50, err: { stack: expect.stringContaining('provoke.js') } })
  const rejected = await server.waitFor(/.*a promise left alone.*/)
  expect(JSON.parse(rejected[0])).toMatchObject({ level: 50, msg: expect.stringContaining('rejected') })

  expect((await counted()).sort()).toEqual([
    'dramatis_unhandled_errors_total{kind="exception"} 1',
    'dramatis_unhandled_errors_total{kind="rejection"} 1',
  ])
  expect((await turn).status).toBe(200)
  expect((await call('GET', '/personas')).status).toBe(200)
  server.kill('SIGTERM')
  expect((await server.ended).code).toBe(0)
})
