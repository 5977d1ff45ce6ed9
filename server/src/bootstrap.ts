import { generateKey } from './features/api-keys/key-format.ts'
import { EXAMPLE_PERSONAS } from './features/personas/example-personas.ts'
import { SCOPES } from './http/requests/caller.ts'
import type { Services } from './services.ts'
import { WriteConflict } from './storage/database.ts'

export type FirstSteps = {
  organizationId: string
  /** The key that was made just now; nobody can ask for it later. */
  generatedKey: string | null
  /** The key that was given was not known, and was added to an organization that there was. */
  addedKey: boolean
}

const ADMIN = { name: 'bootstrap', scopes: SCOPES, expiresAt: null }

/**
 * Makes an empty database usable: an organization, an admin key and the example personas, in one batch. On one that is
 * in use it only sees to it that a key given by configuration works, unless that key has been revoked.
 */
export async function bootstrap(services: Services, givenKey: string | null): Promise<FirstSteps> {
  const { organizations, apiKeys, personas, database } = services
  const existing = await organizations.first()
  if (existing) {
    const isNew = givenKey !== null && !(await apiKeys.isKnown(givenKey))
    if (isNew) await database.write([apiKeys.prepare(existing.id, givenKey, ADMIN).statement])
    return { organizationId: existing.id, generatedKey: null, addedKey: isNew }
  }

  const organization = organizations.prepareFirst('Default')
  const key = givenKey ?? generateKey()
  try {
    await database.write([
      organization.statement,
      apiKeys.prepare(organization.id, key, ADMIN).statement,
      ...EXAMPLE_PERSONAS.flatMap(({ persona }) => personas.prepare(organization.id, persona).statements),
    ])
    return { organizationId: organization.id, generatedKey: givenKey === null ? key : null, addedKey: false }
  } catch (error) {
    // Another server on the same database has just done all this.
    if (error instanceof WriteConflict) return bootstrap(services, givenKey)
    throw error
  }
}
