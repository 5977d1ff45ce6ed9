import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ADMIN_KEY } from '../support/app.ts'
import { databaseKinds, type TestDatabase } from '../support/databases.ts'
import { environmentOf, runCli, startCli, startServer } from '../support/process.ts'

const sqlite = databaseKinds[0] as (typeof databaseKinds)[number]

async function withPlace(work: (place: TestDatabase) => Promise<void>): Promise<void> {
  const place = await sqlite.create()
  try {
    await work(place)
  } finally {
    await place.remove()
  }
}

test('health says whether the server on this machine lives', async () => {
  await withPlace(async (place) => {
    const server = await startServer(place)
    const { port } = new URL(server.url)
    const alive = await runCli(['health'], environmentOf(place, { PORT: port }))
    expect(alive).toMatchObject({ code: 0, stdout: `http://127.0.0.1:${port}/healthz answers 200.\n` })
    server.kill('SIGTERM')
    await server.ended
    const dead = await runCli(['health'], environmentOf(place, { PORT: port }))
    expect(dead.code).toBe(1)
    expect(dead.stderr).toContain(`/healthz cannot be reached`)
  })
})

test('the server and the commands read .env, and secrets from files', async () => {
  await withPlace(async (place) => {
    const keyFile = join(place.directory, 'admin-key')
    writeFileSync(keyFile, `${ADMIN_KEY}\n`)
    const variables = { PORT: '0', DRAMATIS_DATA_DIR: place.directory, DRAMATIS_API_KEY_FILE: keyFile }
    const lines = Object.entries({ ...variables, DRAMATIS_LOG_LEVEL: 'warn', OLLAMA_HOST: 'http://127.0.0.1:9' })
    writeFileSync(join(place.directory, '.env'), lines.map(([name, value]) => `${name}=${value}\n`).join(''))

    const server = startCli(['start'], {}, place.directory)
    const [, url = ''] = await server.waitFor(/listening on (http:\S+)\n[\s\S]*Or talk in the terminal/)
    const answer = await fetch(`${url}/personas`, { headers: { 'x-hl-api-key': ADMIN_KEY } })
    expect(answer.status).toBe(200)
    const list = startCli(['keys', 'list'], {}, place.directory)
    list.endInput()
    expect((await list.ended).stdout).toContain(ADMIN_KEY.slice(0, 10))
    server.kill('SIGTERM')
    expect((await server.ended).code).toBe(0)
  })
})

test('a file of a secret that cannot be read stops the start with a sentence', async () => {
  await withPlace(async (place) => {
    const missing = join(place.directory, 'none')
    const { code, stderr } = await runCli(['start'], environmentOf(place, { DRAMATIS_SECRET_KEY_FILE: missing }))
    expect(code).toBe(1)
    expect(stderr).toContain(`DRAMATIS_SECRET_KEY_FILE names a file that cannot be read: ENOENT`)
    expect(stderr).not.toContain('    at ')
  })
})
