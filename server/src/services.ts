import { createApiKeyService } from './features/api-keys/api-key-service.ts'
import { createOrganizationService } from './features/organizations/organization-service.ts'
import { createPersonaService } from './features/personas/persona-service.ts'
import { systemClock } from './lib/clock.ts'
import { createIdSource } from './lib/ids.ts'
import type { Database } from './storage/database.ts'

export type Services = ReturnType<typeof createServices>

/** What both the server and the command line work with, on an open database. */
export function createServices(database: Database) {
  const ids = createIdSource(systemClock)
  const shared = { database, ids, clock: systemClock }
  const organizations = createOrganizationService(shared)
  return {
    ...shared,
    organizations,
    apiKeys: createApiKeyService(shared),
    personas: createPersonaService({ ...shared, organizations }),
  }
}
