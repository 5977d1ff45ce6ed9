import { onPostgres, onSqlite } from './dramatis.ts'
import { floor } from './floor.ts'
import { afternoon } from './peers/afternoon.ts'
import { flowise } from './peers/flowise.ts'
import { langgraph } from './peers/langgraph.ts'
import { mastra } from './peers/mastra.ts'
import { portkey } from './peers/portkey.ts'
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
    peers: [afternoon, portkey, mastra, langgraph, flowise],
    postgres,
    stop: async () => {
      await (await started?.catch(() => null))?.stop()
    },
  }
}
