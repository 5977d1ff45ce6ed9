import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { databaseKinds } from '../support/databases.ts'
import { environmentOf, runCli, startCli } from '../support/process.ts'

const sqlite = databaseKinds[0] as (typeof databaseKinds)[number]
const place = await sqlite.create()
afterAll(() => place.remove())

test('a start without a provider says in two lines how to get a model', async () => {
  const server = startCli(['start'], environmentOf(place, { PORT: '0' }))
  const [, advice] = await server.waitFor(/\n {2}Model .*\n((?: {13}.*\n)+) {2}API docs/)
  server.kill('SIGTERM')
  await server.ended
  expect(advice?.trim().split('\n')).toEqual([
    expect.stringContaining('ollama pull'),
    expect.stringContaining('docs/local-models.md'),
  ])
})

test('the doctor says how to install what is missing', async () => {
  const runtime = join(place.directory, 'nothing')
  const env = { PORT: '0', DRAMATIS_LOCAL_MODELS: '/models/mine.gguf', DRAMATIS_LOCAL_RUNTIME: runtime }
  const { stdout } = await runCli(['doctor'], environmentOf(place, env))
  expect(stdout).toMatch(
    /note {2}local +The package node-llama-cpp is not installed in .*: install it with "npm install /,
  )
  expect(stdout).toMatch(/default +Local model with mine\.gguf, because DRAMATIS_LOCAL_MODELS is set/)
})
