import { AppError, badField } from '../../errors.ts'
import type { JsonObject } from '../../lib/json.ts'
import { readOutsideSchema } from '../../schema-checks/outside-schema.ts'
import type { SchemaChecks } from '../../schema-checks/schema-checks.ts'
import { SchemaRefused } from '../../schema-checks/schema-refused.ts'
import type { ToolSettings } from './tool-settings.ts'

/** What is wrong with a value: nothing, or some issues such as `/city must be string`. */
export type CheckValue = (schema: JsonObject, value: JsonObject) => Promise<string[]>

/** Checks what can be seen of a schema without compiling it. Throws 400 that names the place in it. */
export function checkSchema(field: string, schema: JsonObject): void {
  try {
    readOutsideSchema(schema)
  } catch (error) {
    if (!(error instanceof SchemaRefused)) throw error
    throw badField(error.path === '' ? field : `${field}.${error.path}`, error.issue)
  }
}

/** Compiles the schemas of tools, which have passed {@link checkSchema}. Throws 400 for one that cannot be used. */
export async function compileToolSchemas(
  schemaChecks: Pick<SchemaChecks, 'compile'>,
  owner: string,
  field: string,
  { tools = [] }: ToolSettings,
): Promise<void> {
  const schemas = tools.flatMap(({ inputSchema }, i) =>
    inputSchema ? [{ field: `${field}.tools.${i}.inputSchema`, text: readOutsideSchema(inputSchema) }] : [],
  )
  const wrong = await schemaChecks.compile(
    owner,
    schemas.map(({ text }) => text),
  )
  if (wrong) throw badField(schemas[wrong.at]?.field ?? field, wrong.issue)
}

/**
 * Checks values for one owner. That one cannot be checked is an issue like any other: because the schema was stored
 * before there were these rules, or because too many wait.
 */
export function createCheckValue(schemaChecks: Pick<SchemaChecks, 'issuesOf'>, owner: string): CheckValue {
  return async (schema, value) => {
    try {
      return await schemaChecks.issuesOf(owner, readOutsideSchema(schema), value)
    } catch (error) {
      if (error instanceof AppError) return [` cannot be checked: ${error.message}`]
      if (!(error instanceof SchemaRefused)) throw error
      return [` cannot be checked: in its schema ${error.message}`]
    }
  }
}
