import { printableLine } from '../lib/text/printable.ts'
import { defineCommand } from './command.ts'
import { withServices } from './with-services.ts'

export const archiveCommand = defineCommand({
  usage: '',
  details: [
    'A server does this by itself, a little every minute; this does it to the end, also beside a running server.',
    'DRAMATIS_BLOB_URL says where the blobs are, DRAMATIS_ARCHIVE_MESSAGES and DRAMATIS_ARCHIVE_AFTER_DAYS which',
    'conversations are meant. What fails is named, and the command ends with 1.',
  ].join('\n'),
  options: {},
  run: ({ io }) =>
    withServices(io, async ({ database, ids, clock }, config) => {
      const [{ openBlobs }, { createArchiver }, { createOpenTurns }] = await Promise.all([
        import('../blobs/open-blobs.ts'),
        import('../features/archive/archiver.ts'),
        import('../features/turns/run/open-turns.ts'),
      ])
      const blobs = openBlobs(config.blobs)
      const log = {
        warn: (fields: object, message: string) => {
          io.stderr.write(`${printableLine(`${message}: ${(fields as { err?: Error }).err?.message}`)}\n`)
        },
      }
      const openTurns = createOpenTurns({ database })
      const archiver = createArchiver({ database, ids, clock, blobs, openTurns, settings: config.archive, log })
      const done = { messages: 0, segments: 0, failures: 0 }
      for (let isComplete = false; !isComplete; ) {
        const round = await archiver.round()
        done.messages += round.messages
        done.segments += round.segments
        done.failures += round.failures
        isComplete = round.isComplete
      }
      io.stdout.write(
        `Moved ${done.messages} messages in ${done.segments} segments to ${printableLine(blobs.describe())}.\n`,
      )
      return done.failures > 0 ? 1 : undefined
    }),
})
