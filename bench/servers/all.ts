import { onPostgres, onSqlite } from './dramatis.ts'
import { floor } from './floor.ts'
import { afternoon } from './peers/afternoon.ts'
import { type Postgres, startPostgres } from './postgres.ts'
import type { Server } from './server.ts'

export type Servers = {
  usual: readonly Server[]
  peers: readonly Server[]
  /** Stops what they share. */
  stop(): Promise<void>
  /** What they share, once it was needed. */
  postgres(): Promise<Postgres>
}

export function allServers(): Servers {
  let started: Promise<Postgres> | null = null
  const postgres = () => {
    started ??= startPostgres()
    return started
  }
  return {
    usual: [floor, onSqlite, onPostgres(postgres)],
    peers: [afternoon],
    postgres,
    stop: async () => {
      await (await started?.catch(() => null))?.stop()
    },
  }
}
