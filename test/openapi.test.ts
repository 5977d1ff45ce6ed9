import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { startApp } from './support/app.ts'
import { databaseKinds } from './support/databases.ts'

test('the document in the repository is the one that the server gives out: npm run openapi', async () => {
  const [kind] = databaseKinds
  if (!kind) throw new Error('there is no database')
  const server = await startApp(kind)
  const document = await server.call('GET', '/openapi.json', undefined, { 'x-hl-api-key': '' })
  await server.close()
  const committed = readFileSync(join(import.meta.dirname, '../docs/openapi.json'), 'utf8')
  expect(document.body).toEqual(JSON.parse(committed))
})
