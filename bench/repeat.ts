import { measureServer, type Plan } from './measure.ts'
import type { Repetition } from './report/results.ts'
import { measureDirect } from './scenarios/direct.ts'
import type { Facts } from './scenarios/facts.ts'
import type { Server } from './servers/server.ts'

export type Repeated = {
  repetitions: Repetition[]
  /** Why servers could not be measured, by their names. */
  missing: Map<string, string>
}

/** Measures all servers again and again. One that cannot be installed or started is left out from then on. */
export async function repeat(
  servers: readonly Server[],
  times: number,
  plan: Plan,
  say: (text: string) => void,
): Promise<Repeated> {
  const missing = new Map<string, string>()
  const miss = (server: Server, error: unknown) => {
    const why = error instanceof Error ? error.message : String(error)
    missing.set(server.name, why.split('\n')[0] as string)
    say(`NOT MEASURED: ${server.title}: ${why}`)
  }
  for (const server of servers) {
    try {
      server.install?.()
    } catch (error) {
      miss(server, error)
    }
  }

  const repetitions: Repetition[] = []
  while (repetitions.length < times) {
    const n = repetitions.length
    const direct = await measureDirect(plan.provider.port, plan.times, plan.complain)
    const facts: Record<string, Facts> = {}
    for (const server of rotated(servers, n)) {
      if (missing.has(server.name)) continue
      say(`repetition ${n + 1} of ${times}: ${server.title}`)
      const complain = (what: string) => plan.complain(`${server.title}: ${what}`)
      try {
        facts[server.name] = await measureServer(server, { ...plan, complain })
      } catch (error) {
        miss(server, error)
      }
    }
    repetitions.push({ direct, facts })
  }
  return { repetitions, missing }
}

/** Another one begins in each repetition: what a machine does over time hits all of them. */
function rotated(servers: readonly Server[], n: number): readonly Server[] {
  const by = n % servers.length
  return [...servers.slice(by), ...servers.slice(0, by)]
}
