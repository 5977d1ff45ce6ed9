import type { JsonObject } from '../../lib/json.ts'
import type { Database } from '../../storage/database.ts'
import { selectConfigurationsWith } from './configuration-queries.ts'

export type ConfigurationInForce = { organizationId: string; personaName: string; configuration: JsonObject }

/** The configurations of personas of all organizations that have a word as one of their strings, `limit` of them. */
export async function surveyConfigurations(
  database: Pick<Database, 'dialect' | 'read'>,
  { word, limit }: { word: string; limit: number },
): Promise<ConfigurationInForce[]> {
  const rows = await selectConfigurationsWith(database, { pattern: `%"${word}"%`, limit })
  return rows.map(({ organization_id, name, configuration }) => ({
    organizationId: organization_id,
    personaName: name,
    configuration: JSON.parse(configuration ?? '{}') as JsonObject,
  }))
}
