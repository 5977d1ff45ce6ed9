import { type Repeated, repeat } from '../../lib/repeat.ts'
import type { AttachmentService } from './attachment-service.ts'

/** Milliseconds between looks. */
const LOOK_EVERY_MS = 600_000

/** Gives up files that were uploaded and never sent, from time to time. */
export function lookAfterAttachments(deps: {
  attachments: Pick<AttachmentService, 'sweepUnused'>
  log: { info(fields: object, message: string): void; warn(fields: object, message: string): void }
}): Repeated {
  const { attachments, log } = deps
  return repeat(
    async () => {
      const swept = await attachments.sweepUnused()
      if (swept > 0) log.info({ swept }, 'gave up files that no message had come for')
    },
    LOOK_EVERY_MS,
    (error) => log.warn({ err: error }, 'files that nobody uses could not be given up; it will be tried again'),
  )
}
