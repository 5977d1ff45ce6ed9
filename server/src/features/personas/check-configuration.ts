import type { JsonObject } from '../../lib/json.ts'
import type { SchemaChecks } from '../../schema-checks/schema-checks.ts'
import { compileToolSchemas } from '../tools/outside-schemas.ts'
import type { CheckSecretHosts } from '../tools/tool-authority.ts'
import type { ToolSettings } from '../tools/tool-settings.ts'

/**
 * The part of the checks of a configuration that takes a while: its schemas are compiled, and where its secrets may go is
 * looked up. `field` is what the configuration is called in the request. Throws 400 for a schema that cannot be used or a
 * secret that may not go there, and 503 when too many wait.
 */
export type CheckConfiguration = (
  organizationId: string,
  field: string,
  configuration: JsonObject | null,
) => Promise<void>

export function createCheckConfiguration(deps: {
  schemaChecks: Pick<SchemaChecks, 'compile'>
  checkSecretHosts: CheckSecretHosts
}): CheckConfiguration {
  return async (organizationId, field, configuration) => {
    const settings = (configuration ?? {}) as ToolSettings
    if (!settings.tools) return
    await deps.checkSecretHosts(organizationId, field, configuration)
    await compileToolSchemas(deps.schemaChecks, organizationId, field, settings)
  }
}
