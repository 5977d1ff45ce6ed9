import type { FastifyInstance, FastifyRequest } from 'fastify'
import { isExactNumber } from '../../lib/exact-json.ts'
import { isJsonObject, type JsonValue } from '../../lib/json.ts'

type Schema = {
  type?: string | string[]
  properties?: Record<string, Schema>
  patternProperties?: Record<string, Schema>
  items?: Schema
  anyOf?: Schema[]
}

/**
 * Gives bodies their long numbers back once they have been checked. What checks them knows JavaScript's numbers only, and
 * so do the handlers where a schema says that there is a number; elsewhere, as in metadata, the digits are the caller's.
 * Call it before the handlers that look at bodies are added.
 */
export function keepExactNumbers(app: FastifyInstance) {
  const exactBodies = new WeakMap<FastifyRequest, JsonValue>()
  app.addHook('preHandler', (request, _reply, done) => {
    const exact = exactBodies.get(request)
    if (exact !== undefined) {
      const schema = request.routeOptions.schema?.body as Schema | undefined
      request.body = merged(request.body as JsonValue, exact, schema ? [schema] : [])
    }
    done()
  })
  return {
    /** `exact` is the body of the request with its numbers as they were sent. */
    keep(request: FastifyRequest, exact: JsonValue): void {
      exactBodies.set(request, exact)
    },
  }
}

/** `checked` with the numbers of `exact` where no schema wants a number. Recurses as deep as bodies may be. */
function merged(checked: JsonValue, exact: JsonValue | undefined, schemas: readonly Schema[]): JsonValue {
  const all = schemas.flatMap((schema) => [schema, ...(schema.anyOf ?? [])])
  if (isExactNumber(exact)) return all.some(isOfNumbers) ? checked : (exact as JsonValue)
  if (Array.isArray(checked) && Array.isArray(exact)) {
    const ofItems = all.flatMap(({ items }) => items ?? [])
    return checked.map((item, i) => merged(item, exact[i], ofItems))
  }
  if (!isJsonObject(checked) || !isJsonObject(exact)) return checked
  return Object.fromEntries(
    Object.entries(checked).map(([name, value]) => {
      const own = Object.hasOwn(exact, name) ? exact[name] : undefined
      return [
        name,
        merged(
          value,
          own,
          all.flatMap((schema) => schemasOf(schema, name)),
        ),
      ]
    }),
  )
}

function isOfNumbers({ type }: Schema): boolean {
  return [type ?? []].flat().some((one) => one === 'number' || one === 'integer')
}

/** Of the pattern there is one at most, for any name: see `Type.Record`. */
function schemasOf({ properties = {}, patternProperties = {} }: Schema, name: string): Schema[] {
  if (Object.hasOwn(properties, name)) return [properties[name] as Schema]
  return Object.values(patternProperties)
}
