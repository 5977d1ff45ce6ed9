import { isJsonObject, type JsonObject } from '../../lib/json.ts'

/**
 * The schema of a tool's input as a model is told of it. Some providers refuse the whole request when one schema has no
 * `properties`, which a tool without parameters often leaves out.
 */
export function schemaForModels(inputSchema: JsonObject): JsonObject {
  const { type, properties } = inputSchema
  if (type === 'object' && isJsonObject(properties)) return inputSchema
  return { ...inputSchema, type: 'object', properties: isJsonObject(properties) ? properties : {} }
}
