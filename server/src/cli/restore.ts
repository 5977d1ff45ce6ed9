import { resolve } from 'node:path'
import { printable } from '../lib/text/printable.ts'
import { defineCommand } from './command.ts'
import { readSettings } from './settings.ts'
import { formatBytes, requireSqliteFile } from './sqlite-file.ts'

export const restoreCommand = defineCommand({
  usage: 'FILE [--force]',
  details: [
    'The server has to be stopped. FILE is checked first, and stays as it is. The database that was there before is kept',
    'beside the new one, as ….before-restore-TIME. Files that a backup --with-blobs has in it go to where',
    'DRAMATIS_BLOB_URL says. On PostgreSQL use pg_restore.',
    '',
    '  --force   Replaces a database that is there already.',
  ].join('\n'),
  options: { force: { type: 'boolean' } },
  required: ['FILE'],
  run: async ({ values, words, io }) => {
    const file = requireSqliteFile(io, 'pg_restore')
    const source = resolve(words[0] as string)
    const [{ restoreWithBlobs }, { openBlobs }] = await Promise.all([
      import('../storage/sqlite/blob-backup.ts'),
      import('../blobs/open-blobs.ts'),
    ])
    const store = openBlobs(readSettings(io).blobs)
    const { bytes, former, blobs } = await restoreWithBlobs({
      file,
      source,
      replace: values.force ?? false,
      at: Date.now(),
      putBlob: ({ key, bytes, contentType }) => store.put(key, bytes, { contentType }),
    })
    if (blobs !== null) {
      const files = `${blobs} ${blobs === 1 ? 'file' : 'files'}`
      io.stdout.write(printable(`${store.describe()} has its ${files}.\n`))
    }
    io.stdout.write(printable(`${file} is now what ${source} holds (${formatBytes(bytes)}).\n`))
    if (former !== null) io.stdout.write(printable(`The database that was there is kept as ${former}.\n`))
    return undefined
  },
})
