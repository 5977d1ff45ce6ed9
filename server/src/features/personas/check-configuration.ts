import type { JsonObject } from '../../lib/json.ts'
import type { SchemaChecks } from '../../schema-checks/schema-checks.ts'
import { compileToolSchemas } from '../tools/outside-schemas.ts'
import type { ToolSettings } from '../tools/tool-settings.ts'

/**
 * The part of the checks of a configuration that takes a while: its schemas are compiled. `field` is what the
 * configuration is called in the request. Throws 400 for a schema that cannot be used, and 503 when too many wait.
 */
export type CheckConfiguration = (
  organizationId: string,
  field: string,
  configuration: JsonObject | null,
) => Promise<void>

export function createCheckConfiguration(schemaChecks: Pick<SchemaChecks, 'compile'>): CheckConfiguration {
  return async (organizationId, field, configuration) => {
    const settings = (configuration ?? {}) as ToolSettings
    if (settings.tools) await compileToolSchemas(schemaChecks, organizationId, field, settings)
  }
}
