import type { Clock } from '../../lib/clock.ts'
import type { MainThread } from '../../lib/fairness/main-thread.ts'
import type { Log } from '../../lib/log.ts'
import { createGuardedAgent } from '../../net/guarded-agent.ts'
import { createSchemaChecks } from '../../schema-checks/schema-checks.ts'
import type { SecretService } from '../secrets/secret-service.ts'
import { createCheckSecretHosts } from './tool-authority.ts'
import { createToolService } from './toolbox.ts'

/** Tools: what models may call, where it may reach, and the threads that look at schemas from outside. */
export function createTools(deps: {
  clock: Clock
  log: Log
  mainThread: MainThread
  secrets: Pick<SecretService, 'reveal' | 'hostsOf'>
  settings: Pick<Parameters<typeof createToolService>[0], 'presets' | 'mostProcesses'> & {
    privateHosts: Parameters<typeof createGuardedAgent>[0]['allowedHosts']
  }
}) {
  const { privateHosts, ...settings } = deps.settings
  const dispatcher = createGuardedAgent({ allowedHosts: privateHosts })
  const schemaChecks = createSchemaChecks({ now: () => performance.now(), mainThread: deps.mainThread })
  return {
    service: createToolService({ ...deps, ...settings, dispatcher, schemaChecks }),
    schemaChecks,
    checkSecretHosts: createCheckSecretHosts(deps.secrets),
    async close(): Promise<void> {
      await dispatcher.destroy()
      await schemaChecks.close()
    },
  }
}
