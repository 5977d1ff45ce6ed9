import type { Config } from '../../config/config.ts'
import { describeUnreadable, examineSecrets } from '../../features/secrets/secret-rotation.ts'
import { broken, type Finding, note, ok } from './finding.ts'
import { readDatabase } from './read-database.ts'

/** Says whether the keys that are configured open the secrets of tools that are stored. Changes nothing. */
export async function examineStoredSecrets({
  database,
  tools,
}: Pick<Config, 'database' | 'tools'>): Promise<Finding[]> {
  const keys = { current: tools.secretKey, previous: tools.previousSecretKeys }
  const state = await readDatabase(database, (reader) => examineSecrets(reader, keys))
  if (state === null) return []
  const complaint = describeUnreadable(state, keys)
  if (complaint !== null) return [broken('secrets', complaint)]
  if (state.former > 0)
    return [note('secrets', `${state.former} are encrypted with a previous key: the next start seals them anew`)]
  return [ok('secrets', 'none are stored that could not be opened')]
}
