import type { Call, Wire } from '../wire/call.ts'

/** A server that is measured. */
export type Server = {
  name: string
  /** For tables. */
  title: string
  /** Installs what is not part of this tree. Throws when that cannot be done. */
  install?(): void
  /** What runs: packages and versions. */
  versions(): string
  /** A place for its data where nothing is yet. */
  prepare(run: Run): Promise<Place>
}

/** What all servers of one run have in common. */
export type Run = {
  /** With `/v1`. */
  providerUrl: string
  /** An empty folder of its own. */
  directory: string
}

/** Where a server keeps its data. It can be started there again and again. */
export type Place = {
  start(options: StartOptions): Promise<Running>
  remove(): Promise<void>
}

export type StartOptions = {
  until: 'first turn' | 'ready'
  /** Arguments for Node.js, such as those of a profile. */
  nodeArguments?: readonly string[]
}

/** A server that has answered. */
export type Running = {
  wire: Wire
  /** Of the whole tree of processes. */
  pid: number
  /** Of a database that is not in it. */
  databasePid?: number
  /** Milliseconds from the start of the process until it was ready, or until a conversation was there and its first turn was answered. */
  startMs: number
  /**
   * Conversations with so many earlier messages: `whole` sends all of them to the model, `window` only the newest that
   * have room. Null where a server has no such thing.
   */
  talk(messages: number, how: 'whole' | 'window', copies: number): Promise<{ ids: string[]; call: Call } | null>
  stop(signal?: NodeJS.Signals): Promise<void>
}
