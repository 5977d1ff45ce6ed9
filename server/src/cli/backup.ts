import { resolve } from 'node:path'
import { printable } from '../lib/text/printable.ts'
import type { BackupRequest } from '../storage/sqlite/backup.ts'
import { defineCommand, type Io } from './command.ts'
import { readSettings } from './settings.ts'
import { formatBytes, requireSqliteFile } from './sqlite-file.ts'

export const backupCommand = defineCommand({
  usage: 'FILE [--with-blobs] [--force]',
  details: [
    'FILE gets everything that was committed when the backup began. It appears under its name when it is complete and',
    'has been checked; one that is killed leaves FILE.….partial, which can be deleted. It holds conversations, and only',
    'its owner may read it. On PostgreSQL use pg_dump.',
    '',
    '  --with-blobs   Puts the files of attachments and of archived conversations into FILE too, from wherever',
    '                 DRAMATIS_BLOB_URL says. The exit code is 1 if some of them are missing there.',
    '  --force        Replaces FILE if it exists.',
  ].join('\n'),
  options: { force: { type: 'boolean' }, 'with-blobs': { type: 'boolean' } },
  required: ['FILE'],
  run: async ({ values, words, io }) => {
    const file = requireSqliteFile(io, 'pg_dump')
    const target = resolve(words[0] as string)
    const request = { file, target, overwrite: values.force ?? false }
    if (values['with-blobs']) return backupAll(io, request)
    const { backupSqlite } = await import('../storage/sqlite/backup.ts')
    const { bytes } = backupSqlite(request)
    io.stdout.write(printable(`${target} holds a backup of ${file} (${formatBytes(bytes)}).\n`))
    return undefined
  },
})

async function backupAll(io: Io, request: BackupRequest): Promise<number> {
  const [{ backupWithBlobs }, { openBlobs }] = await Promise.all([
    import('../storage/sqlite/blob-backup.ts'),
    import('../blobs/open-blobs.ts'),
  ])
  const store = openBlobs(readSettings(io).blobs)
  const { bytes, blobs, lost } = await backupWithBlobs({ ...request, readBlob: store.get })
  const { file, target } = request
  const files = `${blobs} ${blobs === 1 ? 'file' : 'files'} of ${store.describe()}`
  io.stdout.write(printable(`${target} holds a backup of ${file} with ${files} (${formatBytes(bytes)}).\n`))
  for (const key of lost) io.stderr.write(printable(`${key} is missing or damaged there, and is not in the backup.\n`))
  return lost.length === 0 ? 0 : 1
}
