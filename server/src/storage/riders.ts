import { AsyncLocalStorage } from 'node:async_hooks'
import { type Database, type Statement, WriteConflict } from './database.ts'

/** A statement that must become true together with what a piece of work writes, or not at all. */
export type Rider = {
  /** Made when the batch is about to be written. */
  statement(): Statement
  /** The constraint that stands against the statement when somebody else was quicker. */
  constraint: string
  /** The statement is in a batch that was written, or is being written. */
  isAboard: boolean
}

/** Nothing was written, because the rider's statement was refused: not a conflict of the work's own statements. */
export class RiderRefused extends Error {
  readonly constraint: string

  constructor(constraint: string) {
    super(`the write's rider conflicts with ${constraint}`)
    this.name = 'RiderRefused'
    this.constraint = constraint
  }
}

export type Riders = {
  /** The database, for everybody: what is written during `ride` takes the rider along. */
  database: Database
  /**
   * Does `work` and puts the rider's statement before the first batch that it writes; a batch that fails leaves it for
   * the next. The write that the rider keeps from happening throws {@link RiderRefused}. What `work` writes after it is
   * over goes without.
   */
  ride<T>(rider: Rider, work: () => Promise<T>): Promise<T>
}

/**
 * Lets a statement into the batch of work that knows nothing of it. The context of the call carries it and not an
 * argument, because it would have to go through every service for the sake of the few requests that have one. Work
 * without a rider pays one look at the context for each write.
 */
export function withRiders(database: Database): Riders {
  const riders = new AsyncLocalStorage<{ rider: Rider; isOver: boolean }>()

  async function writeWith(rider: Rider, batch: readonly Statement[]): Promise<number[]> {
    // Before the write, so that another one at the same time does not take it along too.
    rider.isAboard = true
    try {
      return (await database.write([rider.statement(), ...batch])).slice(1)
    } catch (error) {
      rider.isAboard = false
      if (error instanceof WriteConflict && error.constraint === rider.constraint) {
        throw new RiderRefused(error.constraint)
      }
      throw error
    }
  }

  return {
    database: {
      ...database,
      write(batch) {
        const ride = riders.getStore()
        if (ride === undefined || ride.isOver || ride.rider.isAboard) return database.write(batch)
        return writeWith(ride.rider, batch)
      },
    },
    async ride(rider, work) {
      const ride = { rider, isOver: false }
      try {
        return await riders.run(ride, work)
      } finally {
        ride.isOver = true
      }
    },
  }
}
