import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readConfig } from '../config/config.ts'
import { OPENAPI_PATH } from '../http/openapi/openapi.ts'
import { isJsonObject, type JsonValue } from '../lib/json.ts'
import { defineCommand } from './command.ts'

export const openapiCommand = defineCommand({
  usage: '',
  details: 'The same for everybody: it depends on the version of Dramatis and not on the configuration.',
  options: {},
  run: async ({ io }) => {
    io.stdout.write(`${JSON.stringify(inStableOrder(await describeApi()), null, 2)}\n`)
    return undefined
  },
})

/** Puts a server together on a temporary database, which never listens. */
async function describeApi(): Promise<JsonValue> {
  const [{ createApp }, { pino }] = await Promise.all([import('../app.ts'), import('pino')])
  const directory = mkdtempSync(join(tmpdir(), 'dramatis-openapi-'))
  try {
    const { config } = readConfig({ DRAMATIS_DATA_DIR: directory })
    const app = await createApp(config, pino({ level: 'silent' }))
    try {
      return (await app.http.inject(OPENAPI_PATH)).json<JsonValue>()
    } finally {
      await app.close()
    }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

/** Paths and schemas by name, so that moving code changes nothing; what is inside a schema keeps the order it was written in. */
function inStableOrder(document: JsonValue): JsonValue {
  if (!isJsonObject(document) || !isJsonObject(document['paths'])) return document
  const paths = Object.entries(document['paths']).map(([path, methods]): [string, JsonValue] => [path, byName(methods)])
  const sorted: JsonValue = { ...document, paths: byName(Object.fromEntries(paths)) }
  const components = document['components']
  if (!isJsonObject(components)) return sorted
  const schemas = byName(components['schemas'] ?? {})
  return { ...sorted, components: { ...byNameOf(components), schemas } }
}

function byName(value: JsonValue): JsonValue {
  return isJsonObject(value) ? byNameOf(value) : value
}

function byNameOf(value: { [key: string]: JsonValue }): { [key: string]: JsonValue } {
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
}
