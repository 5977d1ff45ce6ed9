import { createFairQueue, QueueFullError } from '../lib/fairness/fair-queue.ts'
import { type Database, StorageError } from './database.ts'

/** Long reads that may wait; the organization with most of them is refused first. */
const MOST_WAITING = 1_000

/** Lets `atOnce` long reads work at a time, `atOnceEach` of one organization, and organizations take turns. */
export function withFairScans(database: Database, limits: { atOnce: number; atOnceEach: readonly number[] }): Database {
  const queue = createFairQueue({ ...limits, most: MOST_WAITING })
  return {
    ...database,
    async scan(query, organizationId) {
      const leave = await queue.enter([organizationId]).catch((error: unknown) => {
        throw error instanceof QueueFullError ? new StorageError('too many long reads are waiting') : error
      })
      return database.scan(query, organizationId).finally(leave)
    },
  }
}
