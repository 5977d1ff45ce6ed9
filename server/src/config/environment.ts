import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseEnv } from 'node:util'
import { PROVIDER_VARIABLES } from '../models/providers/provider-variables.ts'
import { ConfigError } from './config-error.ts'
import { SERVER_VARIABLES } from './config-variables.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/** The variables whose value may stand in a file that `<name>_FILE` names. */
export const SECRET_VARIABLES: readonly string[] = [...SERVER_VARIABLES, ...PROVIDER_VARIABLES]
  .filter(({ isSecret }) => isSecret)
  .map(({ name }) => name)

/**
 * The variables of a process, behind them those of the file `.env` in `directory`, and in the place of each
 * `<name>_FILE` of a secret what that file holds, without the white space around it. What was read so before is the same
 * when it is read again. Throws {@link ConfigError} naming each file that cannot be read, and each variable that is set
 * in both ways.
 */
export function readEnvironment(variables: Environment, directory: string): Environment {
  const problems: string[] = []
  const own = withSecrets(variables, problems)
  const behind = withSecrets(readDotEnv(join(directory, '.env')), problems)
  if (problems.length > 0) throw new ConfigError(problems)
  return { ...behind, ...own }
}

function withSecrets(variables: Environment, problems: string[]): Environment {
  const filled: Record<string, string | undefined> = { ...variables }
  for (const name of SECRET_VARIABLES) {
    const file = variables[`${name}_FILE`]?.trim()
    delete filled[`${name}_FILE`]
    if (!file) continue
    if (variables[name]?.trim()) problems.push(`${name} and ${name}_FILE are both set: leave one of them out.`)
    else
      try {
        filled[name] = readFileSync(file, 'utf8').trim()
      } catch (error) {
        problems.push(`${name}_FILE names a file that cannot be read: ${(error as Error).message}.`)
      }
  }
  return filled
}

function readDotEnv(file: string): Environment {
  try {
    return parseEnv(readFileSync(file, 'utf8'))
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return {}
    throw new ConfigError([`The file ${file} cannot be read: ${message}.`])
  }
}
