import { type Repeated, repeat } from '../../lib/repeat.ts'
import type { OrganizationService } from './organization-service.ts'

/** Milliseconds between looks: the command line makes organizations beside a running server. */
const COUNT_EVERY_MS = 10_000

/** Knows whether there is more than one organization, so that what a process has is to be shared. */
export async function watchOrganizations(deps: {
  organizations: Pick<OrganizationService, 'list'>
  log: { warn(fields: object, message: string): void }
}): Promise<Repeated & { areSeveral(): boolean }> {
  const { organizations, log } = deps
  let count = (await organizations.list()).length
  const look = async () => {
    count = (await organizations.list()).length
  }
  const warn = (error: unknown) => log.warn({ err: error }, 'organizations could not be counted')
  return { areSeveral: () => count > 1, ...repeat(look, COUNT_EVERY_MS, warn) }
}
