import { isJsonObject, type JsonObject, type JsonValue } from '../../lib/json.ts'

/** Bytes of an answer that is read for what an `outputSchema` names: parsing it is the work of the main thread. */
export const MOST_PICKED_FROM = 1_048_576

/**
 * What of a value a JSON Schema names: of an object the members that stand in `properties`, of a list its items by
 * `items`, each in turn picked from. What it does not name is left out; no other keyword is looked at.
 */
export function pickOutput(schema: JsonObject, value: JsonValue): JsonValue {
  const { properties, items } = schema
  if (Array.isArray(value)) return isJsonObject(items) ? value.map((item) => pickOutput(items, item)) : []
  if (!isJsonObject(value)) return value
  const named = isJsonObject(properties) ? Object.entries(properties) : []
  return Object.fromEntries(
    named.flatMap(([name, member]) =>
      isJsonObject(member) && Object.hasOwn(value, name)
        ? [[name, pickOutput(member, value[name] as JsonValue)] as const]
        : [],
    ),
  )
}
