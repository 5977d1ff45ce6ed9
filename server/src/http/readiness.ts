import { type DiskObstacle, describeDiskObstacle } from '../lib/process/disk.ts'

/** Milliseconds for which a look at the disks stands: anybody may ask, and some looks write. */
const LOOK_EVERY_MS = 1_000

export type ReadinessOptions = {
  now: () => number
  /** Throws when the database does not answer. */
  askDatabase: () => Promise<unknown>
  /** What is kept somewhere, as it stands in a sentence, and what keeps it from being written. */
  disks: readonly { what: string; findObstacle: () => Promise<DiskObstacle | null> }[]
}

/** What keeps the server from taking requests, as a sentence; null when nothing does. */
export function createReadiness({ now, askDatabase, disks }: ReadinessOptions): () => Promise<string | null> {
  let lookedAt = Number.NEGATIVE_INFINITY
  let look: Promise<string | null> = Promise.resolve(null)

  async function lookAtDisks(): Promise<string | null> {
    for (const { what, findObstacle } of disks) {
      const obstacle = await findObstacle()
      if (obstacle !== null) return describeDiskObstacle(obstacle, what)
    }
    return null
  }

  return async () => {
    await askDatabase()
    if (now() - lookedAt >= LOOK_EVERY_MS) {
      lookedAt = now()
      look = lookAtDisks()
    }
    return look
  }
}
