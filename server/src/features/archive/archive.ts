import type { BlobStore } from '../../blobs/blob-store.ts'
import type { Clock } from '../../lib/clock.ts'
import type { IdSource } from '../../lib/ids.ts'
import type { Log } from '../../lib/log.ts'
import type { Database } from '../../storage/database.ts'
import type { OrganizationService } from '../organizations/organization-service.ts'
import type { OpenTurns } from '../turns/run/open-turns.ts'
import { createBlobEraser } from '../unclaimed-blobs/blob-eraser.ts'
import { createArchiveReader } from './archive-reader.ts'
import { archiveRoutes } from './archive-routes.ts'
import { lookAfterArchive } from './archive-upkeep.ts'
import { type ArchiveSettings, createArchiver } from './archiver.ts'
import { prefixOf } from './segment.ts'

/** The archive: older messages of conversations, packed into blobs, and read as if they were still in the database. */
export function createArchive(deps: {
  database: Database
  ids: IdSource
  clock: Clock
  log: Log
  blobs: BlobStore
  organizations: Pick<OrganizationService, 'tokenSecret'>
}) {
  const messages = createArchiveReader(deps)
  return {
    /** What conversations need of it. */
    messages,
    routes: (others: Omit<Parameters<typeof archiveRoutes>[0], 'archive' | 'organizations' | 'clock'>) =>
      archiveRoutes({ ...deps, ...others, archive: messages }),
    erase: createBlobEraser({ ...deps, discard: messages.discard, prefixOf }),
    /** Begins to archive in the background. */
    begin(how: { settings: ArchiveSettings; openTurns: OpenTurns }) {
      const archiver = createArchiver({ ...deps, ...how })
      return { archiver, upkeep: lookAfterArchive({ archiver, log: deps.log }) }
    },
  }
}
