import { type AppError, badField } from '../../errors.ts'
import type { Path } from '../../lib/fairness/fair-line.ts'
import type { JsonObject } from '../../lib/json.ts'
import type { Static } from '../../lib/schema.ts'
import type { SchemaChecks, WrongSchema } from '../../schema-checks/schema-checks.ts'
import type { CheckSecretHosts } from '../tools/tool-authority.ts'
import type { PersonaConfiguration } from './persona-configuration.ts'

/** Who wants it checked. */
type Asking = { organizationId: string; keyId: string }

/**
 * The part of the checks of a configuration that takes a while: its schemas are compiled, and where its secrets may go is
 * looked up. `field` is what the configuration is called in the request. Throws 400 for a schema that cannot be used or a
 * secret that may not go there, and 503 when too many wait.
 */
export type CheckConfiguration = (caller: Asking, field: string, configuration: JsonObject | null) => Promise<void>

export function createCheckConfiguration(deps: {
  schemaChecks: Pick<SchemaChecks, 'compile' | 'refusalOf'>
  checkSecretHosts: CheckSecretHosts
}): CheckConfiguration {
  const { schemaChecks, checkSecretHosts } = deps

  /** It is only looked at: nothing here runs it, and what providers take differs. */
  async function checkResponseFormat(path: Path, field: string, { responseFormat }: Written): Promise<void> {
    if (typeof responseFormat !== 'object' || responseFormat.type !== 'json_schema') return
    const wrong = await schemaChecks.refusalOf(path, responseFormat.json_schema.schema)
    if (wrong) throw wrongSchema(`${field}.responseFormat.json_schema.schema`, wrong)
  }

  async function compileToolSchemas(path: Path, field: string, { tools = [] }: Written): Promise<void> {
    const schemas = tools.flatMap(({ inputSchema }, i) =>
      inputSchema ? [{ at: `${field}.tools.${i}.inputSchema`, inputSchema }] : [],
    )
    const wrong = await schemaChecks.compile(
      path,
      schemas.map(({ inputSchema }) => inputSchema),
    )
    if (wrong) throw wrongSchema(schemas[wrong.at]?.at ?? field, wrong)
  }

  return async ({ organizationId, keyId }, field, configuration) => {
    const path = [organizationId, keyId]
    const written = (configuration ?? {}) as Written
    await checkResponseFormat(path, field, written)
    if (!written.tools) return
    await checkSecretHosts(organizationId, field, configuration)
    await compileToolSchemas(path, field, written)
  }
}

type Written = Static<typeof PersonaConfiguration>

function wrongSchema(field: string, { path, issue }: WrongSchema): AppError {
  return badField(path === '' ? field : `${field}.${path}`, issue)
}
