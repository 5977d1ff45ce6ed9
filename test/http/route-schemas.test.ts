import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { Ajv } from 'ajv'
import fastJsonStringify from 'fast-json-stringify'
import type { FastifyInstance, RouteOptions } from 'fastify'
import { expect, test } from 'vitest'
import { startApp } from '../support/app.ts'
import { databaseKinds } from '../support/databases.ts'

type Schemas = Record<string, object | undefined> & { response?: Record<string, object> }

/** The routes of a whole server. */
async function routesOfServer(): Promise<RouteOptions[]> {
  const routes: RouteOptions[] = []
  const listen = (message: unknown) => {
    const { fastify } = message as { fastify: FastifyInstance }
    fastify.addHook('onRoute', (route) => {
      routes.push(route)
    })
  }
  subscribe('fastify.initialization', listen)
  const [kind] = databaseKinds
  if (!kind) throw new Error('there is no database')
  const server = await startApp(kind)
  unsubscribe('fastify.initialization', listen)
  await server.close()
  return routes
}

/** The schema of an answer, or one for each of its media types. */
function schemasOf(answer: object): object[] {
  const { content } = answer as { content?: Record<string, { schema: object }> }
  return content ? Object.values(content).map(({ schema }) => schema) : [answer]
}

// A server compiles a schema when a request first needs it, and takes its word for being one.
test('every schema of every route is a JSON Schema, and can be compiled', async () => {
  const routes = await routesOfServer()
  const ajv = new Ajv({ strict: false, formats: { uuid: true, 'date-time': true } })
  const wrong: string[] = []
  const attempt = (what: string, compile: () => unknown) => {
    try {
      compile()
    } catch (error) {
      wrong.push(`${what}: ${error}`)
    }
  }
  for (const { method, url, schema } of routes) {
    const { response = {}, ...parts } = (schema ?? {}) as Schemas
    for (const name of ['body', 'querystring', 'params', 'headers']) {
      const part = parts[name]
      if (part === undefined) continue
      attempt(`${method} ${url} ${name}`, () => {
        if (!ajv.validateSchema(part)) throw new Error(ajv.errorsText())
        return ajv.compile(part)
      })
    }
    for (const [status, answer] of Object.entries(response)) {
      for (const schema of schemasOf(answer)) {
        attempt(`${method} ${url} ${status}`, () => {
          if (!ajv.validateSchema(schema)) throw new Error(ajv.errorsText())
          return fastJsonStringify(schema)
        })
      }
    }
  }
  expect(wrong).toEqual([])
  expect(routes.length).toBeGreaterThan(60)
})
