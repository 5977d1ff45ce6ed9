import type { BlobStore } from '../../blobs/blob-store.ts'
import type { Clock } from '../../lib/clock.ts'
import type { IdSource } from '../../lib/ids.ts'
import type { Log } from '../../lib/log.ts'
import type { Database } from '../../storage/database.ts'
import { createBlobEraser } from '../unclaimed-blobs/blob-eraser.ts'
import { attachmentRoutes } from './attachment-routes.ts'
import { createAttachmentService, prefixOf } from './attachment-service.ts'
import { lookAfterAttachments } from './attachment-upkeep.ts'

/** Files that stand with messages. */
export function createAttachments(deps: {
  database: Database
  ids: IdSource
  clock: Clock
  log: Log
  blobs: BlobStore
  /** Largest file, in bytes. */
  limit: number
}) {
  const service = createAttachmentService(deps)
  return {
    service,
    routes: (conversations: Parameters<typeof attachmentRoutes>[0]['conversations']) =>
      attachmentRoutes({ attachments: service, conversations }),
    erase: createBlobEraser({ ...deps, discard: service.discard, prefixOf }),
    upkeep: lookAfterAttachments({ attachments: service, log: deps.log }),
  }
}
