import { type Config, readConfig } from '../config/config.ts'
import { printableLine } from '../lib/text/printable.ts'
import type { Io } from './command.ts'

/** The configuration that a server here would have. Warnings go to standard error. Throws `ConfigError`. */
export function readSettings({ env, stderr }: Pick<Io, 'env' | 'stderr'>): Config {
  const { config, warnings } = readConfig(env)
  for (const warning of warnings) stderr.write(`warning: ${printableLine(warning)}\n`)
  return config
}
