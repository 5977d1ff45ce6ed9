import { resolve } from 'node:path'
import { printable } from '../lib/text/printable.ts'
import { defineCommand } from './command.ts'
import { formatBytes, requireSqliteFile } from './sqlite-file.ts'

export const backupCommand = defineCommand({
  usage: 'FILE [--force]',
  details: [
    'FILE gets everything that was committed when the backup began. It appears under its name when it is complete and',
    'has been checked; one that is killed leaves FILE.….partial, which can be deleted. It holds conversations, and only',
    'its owner may read it. On PostgreSQL use pg_dump.',
    '',
    '  --force   Replaces FILE if it exists.',
  ].join('\n'),
  options: { force: { type: 'boolean' } },
  required: ['FILE'],
  run: async ({ values, words, io }) => {
    const file = requireSqliteFile(io, 'pg_dump')
    const target = resolve(words[0] as string)
    const { backupSqlite } = await import('../storage/sqlite/backup.ts')
    const { bytes } = backupSqlite({ file, target, overwrite: values.force ?? false })
    io.stdout.write(printable(`${target} holds a backup of ${file} (${formatBytes(bytes)}).\n`))
    return undefined
  },
})
