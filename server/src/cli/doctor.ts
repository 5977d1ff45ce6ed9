import { ConfigError, readConfig } from '../config.ts'
import { defineCommand, type Io } from './command.ts'
import { broken, type Finding, note, ok } from './doctor/finding.ts'
import { printableLine } from './printable.ts'

const MARKS: Record<Finding['state'], string> = { ok: 'ok  ', note: 'note', broken: 'BAD ' }

export const doctorCommand = defineCommand({
  name: 'doctor',
  usage: '',
  summary: 'Say what is configured, what works, and what does not',
  details: [
    'Looks at the configuration, the database, the providers and the server, and changes nothing. The exit code is 1',
    'when something is broken. No provider is asked to answer, so this costs nothing.',
  ].join('\n'),
  options: {},
  run: async ({ io }) => {
    const findings = await examine(io.env)
    const width = Math.max(...findings.map(({ subject }) => subject.length))
    for (const { state, subject, text } of findings) {
      io.stdout.write(`${MARKS[state]}  ${subject.padEnd(width)}  ${printableLine(text)}\n`)
    }
    return findings.some(({ state }) => state === 'broken') ? 1 : 0
  },
})

async function examine(env: Io['env']): Promise<Finding[]> {
  try {
    const { config, warnings } = readConfig(env)
    const [{ examineSqlite }, { examinePostgres }, { examineProviders }, { examineAddress }] = await Promise.all([
      import('./doctor/examine-sqlite.ts'),
      import('./doctor/examine-postgres.ts'),
      import('./doctor/examine-providers.ts'),
      import('./doctor/examine-address.ts'),
    ])
    const { database } = config
    return [
      ok('configuration', 'every variable that is set makes sense'),
      ...warnings.map((text) => note('configuration', text)),
      ...(database.kind === 'sqlite' ? examineSqlite(database.file) : await examinePostgres(database.url)),
      await examineAddress(config),
      ...(await examineProviders(config.providers)),
    ]
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.message.split('\n').map((sentence) => broken('configuration', sentence))
  }
}
