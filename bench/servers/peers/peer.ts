import type { Wire } from '../../wire/call.ts'
import type { Run, Running, Server } from '../server.ts'
import { freePort, startProcess, takeFirstTurn } from '../start-process.ts'
import { versionOf } from '../versions.ts'
import { installPeer, peerFolder } from './install.ts'

/** How a system of others is started and talked to. Its packages and programs stand in `bench/peers/<name>`. */
export type PeerSpec = {
  name: string
  title: string
  /** Those whose versions matter. */
  packages: readonly string[]
  /** What a reader has to know about how it runs. */
  note?: string
  /** Packages whose scripts build what cannot run without it; no others run. */
  rebuilds?: readonly string[]
  program(run: Run & { folder: string; port: number }): { args: readonly string[]; env?: Record<string, string> }
  /** What has to be there before its first turn; what it returns is known to the others. */
  setUp?(port: number, run: Run): Promise<string>
  wire(port: number, run: Run, setUp: string): Wire
  talk(talk: Talk): ReturnType<Running['talk']>
  /** Milliseconds it has to start. */
  patienceMs?: number
}

/** What `Running.talk` was asked for. */
export type Talk = {
  port: number
  run: Run
  setUp: string
  messages: number
  how: 'whole' | 'window'
  copies: number
}

export function createPeer(spec: PeerSpec): Server {
  const folder = peerFolder(spec.name)
  return {
    name: spec.name,
    title: spec.title,
    install: () => installPeer(spec.name, spec.rebuilds),
    versions: () => {
      const versions = spec.packages.map((name) => `${name} ${versionOf(name, folder)}`).join(', ')
      return spec.note === undefined ? versions : `${versions} (${spec.note})`
    },
    async prepare(run) {
      let setUp = spec.setUp === undefined ? '' : null
      return {
        async start({ nodeArguments = [], until }) {
          const port = await freePort()
          const { args, env } = spec.program({ ...run, folder, port })
          const started = await startProcess({
            directory: run.directory,
            wire: spec.wire(port, run, setUp ?? ''),
            args: [...nodeArguments, ...args],
            until: setUp === null ? 'ready' : until,
            // Where a program is in TypeScript, it is not to pay for that.
            env: { NODE_COMPILE_CACHE: `${run.directory}/compiled`, ...env },
            ...(spec.patienceMs !== undefined && { patienceMs: spec.patienceMs }),
          })
          const isNew = setUp === null
          const known = setUp ?? (await spec.setUp?.(port, run)) ?? ''
          setUp = known
          const wire = spec.wire(port, run, known)
          if (isNew && until === 'first turn') await takeFirstTurn(wire)
          return {
            ...started,
            wire,
            talk: (messages, how, copies) => spec.talk({ port, run, setUp: known, messages, how, copies }),
          }
        },
        remove: async () => {},
      }
    },
  }
}

/** Makes as many as are wanted, one after the other. */
export async function makeAll<Made>(count: number, make: () => Promise<Made>): Promise<Made[]> {
  const made: Made[] = []
  while (made.length < count) made.push(await make())
  return made
}
