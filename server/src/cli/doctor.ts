import { type Config, readConfig } from '../config/config.ts'
import { ConfigError } from '../config/config-error.ts'
import { describeExposedFiles } from '../config/exposed-files.ts'
import { printableLine } from '../lib/text/printable.ts'
import { defineCommand, type Io } from './command.ts'
import { broken, type Finding, note, ok } from './doctor/finding.ts'

const MARKS: Record<Finding['state'], string> = { ok: 'ok  ', note: 'note', broken: 'BAD ' }

export const doctorCommand = defineCommand({
  usage: '[--deep]',
  details: [
    'Looks at the runtime, the configuration, the database and its disk, the keys of secrets, the address, the providers',
    'and the MCP servers, and changes nothing. Each provider that is configured is asked for the list of its models with',
    'your key, which costs nothing. Each MCP server of a persona or a preset is asked for its tools; none is called.',
    'The exit code is 1 when something is BAD.',
    '',
    '  --deep   Reads all of the database, however large it is.',
  ].join('\n'),
  options: { deep: { type: 'boolean' } },
  run: async ({ io, values }) => {
    const findings = await examine(io.env, values.deep === true)
    const width = Math.max(...findings.map(({ subject }) => subject.length))
    for (const { state, subject, text } of findings) {
      io.stdout.write(`${MARKS[state]}  ${subject.padEnd(width)}  ${printableLine(text)}\n`)
    }
    return findings.some(({ state }) => state === 'broken') ? 1 : 0
  },
})

async function examine(env: Io['env'], isDeep: boolean): Promise<Finding[]> {
  // One that is too old does not get here.
  const node = ok('node', `Node.js ${process.versions.node}`)
  try {
    const { config, warnings } = readConfig(env)
    const [{ examineAddress }, { examineProviders }, { examineStoredSecrets }, { examineTools }] = await Promise.all([
      import('./doctor/examine-address.ts'),
      import('./doctor/examine-providers.ts'),
      import('./doctor/examine-secrets.ts'),
      import('./doctor/examine-tools.ts'),
    ])
    return [
      node,
      ok('configuration', 'every variable that is set makes sense'),
      ...warnings.map((text) => note('configuration', text)),
      ...(await examineDatabase(config.database, isDeep)),
      ...(await examineStoredSecrets(config)),
      ...(await examineFiles(config)),
      examineRights(config),
      await examineAddress(config),
      ...(await examineProviders(config.providers)),
      ...(await examineTools(config)),
    ]
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return [node, ...error.message.split('\n').map((sentence) => broken('configuration', sentence))]
  }
}

function examineRights(config: Config): Finding {
  const exposed = describeExposedFiles(config)
  return exposed === null ? ok('rights', 'other users of this machine cannot read the data') : note('rights', exposed)
}

/** Those of attachments and archives; a store elsewhere shows with the first of them. */
async function examineFiles({ blobs }: Config): Promise<Finding[]> {
  if (blobs.kind !== 'files') return []
  const { examineBlobs } = await import('./doctor/examine-machine.ts')
  return examineBlobs(blobs.directory)
}

async function examineDatabase(database: Config['database'], isDeep: boolean): Promise<Finding[]> {
  if (database.kind === 'postgres') {
    const { examinePostgres } = await import('./doctor/examine-postgres.ts')
    return examinePostgres(database)
  }
  const { examineSqlite } = await import('./doctor/examine-sqlite.ts')
  return examineSqlite(database.file, isDeep)
}
