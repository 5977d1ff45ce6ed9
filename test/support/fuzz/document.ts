import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import { isJsonObject, type JsonObject, type JsonValue } from '../../../server/src/lib/json.ts'

export type Parameter = { name: string; in: 'path' | 'query' | 'header'; required?: boolean; schema: JsonObject }

/** One operation of the OpenAPI document, with all references to responses resolved. */
export type Operation = {
  method: string
  path: string
  parameters: Parameter[]
  /** Schemas of the body by media type. */
  body: Record<string, JsonObject>
  /** For each status the schemas by media type; none for an answer without a body. */
  responses: Record<string, Record<string, JsonObject>>
  /** The scope that a key needs; null where any key, or none, will do. */
  scope: string | null
}

export type Document = ReturnType<typeof readDocument>

/** What the fuzzer reads out of an OpenAPI document. */
export function readDocument(document: JsonObject) {
  const at = (value: JsonValue | undefined): JsonObject => (isJsonObject(value) ? value : {})

  /** The schema or response behind a reference. */
  function resolve(value: JsonObject): JsonObject {
    const ref = value['$ref']
    if (typeof ref !== 'string') return value
    return ref
      .slice(2)
      .split('/')
      .reduce((place: JsonObject, name) => at(place[name]), document)
  }

  const schemasOf = (content: JsonValue | undefined) =>
    Object.fromEntries(Object.entries(at(content)).map(([type, media]) => [type, at(at(media)['schema'])]))

  function toOperation(path: string, method: string, operation: JsonObject): Operation {
    const security = (operation['security'] ?? []) as { ApiKeyAuth?: string[] }[]
    return {
      method: method.toUpperCase(),
      path,
      parameters: (operation['parameters'] ?? []) as unknown as Parameter[],
      body: schemasOf(at(operation['requestBody'])['content']),
      responses: Object.fromEntries(
        Object.entries(at(operation['responses'])).map(([status, response]) => [
          status,
          schemasOf(resolve(at(response))['content']),
        ]),
      ),
      scope: security.flatMap(({ ApiKeyAuth = [] }) => ApiKeyAuth)[0] ?? null,
    }
  }

  const operations = Object.entries(at(document['paths'])).flatMap(([path, methods]) =>
    Object.entries(at(methods)).map(([method, operation]) => toOperation(path, method, at(operation))),
  )

  // Of answers nothing may be undocumented, fields included: a serializer drops them, what is written by hand does not.
  const components = close(at(document['components']))
  const ajv = new Ajv2020({ strict: false, allErrors: false, validateFormats: true, logger: false })
  ajv.addFormat('uuid', /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i)
  ajv.addFormat('date-time', /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/)
  ajv.addFormat('binary', true)
  const validators = new Map<JsonObject, ValidateFunction>()

  /** What is wrong with `value` as `schema` has it; null when it is as documented. */
  function faultOf(schema: JsonObject, value: unknown): string | null {
    let validate = validators.get(schema)
    if (!validate) {
      validate = ajv.compile({ ...close(schema), components })
      validators.set(schema, validate)
    }
    return validate(value) ? null : ajv.errorsText(validate.errors)
  }

  const componentOf = (name: string): JsonObject => ({ $ref: `#/components/schemas/${name}` })
  return { operations, resolve, faultOf, componentOf }
}

/** The same schema, where an object with named properties has no others. */
function close<T extends JsonValue>(schema: T): T {
  if (Array.isArray(schema)) return schema.map(close) as T
  if (!isJsonObject(schema)) return schema
  const closed = Object.fromEntries(Object.entries(schema).map(([name, member]) => [name, close(member as JsonValue)]))
  const isOpen = 'additionalProperties' in schema || 'patternProperties' in schema
  if ([schema['type']].flat().includes('object') && isJsonObject(schema['properties']) && !isOpen) {
    closed['additionalProperties'] = false
  }
  return closed as T
}
