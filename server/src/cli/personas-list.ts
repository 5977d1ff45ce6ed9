import type { Services } from '../app.ts'
import type { PersonaAndVersion } from '../features/personas/persona.ts'
import { MAX_PAGE_SIZE } from '../http/pagination.ts'
import { defineCommand } from './command.ts'
import { formatTable, formatTime } from './table.ts'
import { findOrganization, ORGANIZATION_HELP, withServices } from './with-services.ts'

export const personasListCommand = defineCommand({
  name: 'personas list',
  usage: '[--organization ID]',
  summary: 'List the personas of an organization, newest first',
  details: ORGANIZATION_HELP,
  options: { organization: { type: 'string' } },
  run: async ({ values, io }) => {
    const all = await withServices(io, async (services) => {
      const { id } = await findOrganization(services, values.organization)
      return listAll(services, id)
    })
    const rows = all.map(({ persona, version }) => [
      persona.name,
      persona.isActive ? (persona.isApiEnabled ? 'active' : 'not for the API') : 'inactive',
      version.aiSystem,
      version.model,
      formatTime(persona.createdAt),
      persona.id,
    ])
    io.stdout.write(formatTable([['NAME', 'STATUS', 'AI SYSTEM', 'MODEL', 'CREATED', 'ID'], ...rows]))
    return undefined
  },
})

async function listAll({ personas }: Services, organizationId: string): Promise<PersonaAndVersion[]> {
  const all: PersonaAndVersion[] = []
  let continuationToken: string | null = null
  do {
    const page: Awaited<ReturnType<typeof personas.list>> = await personas.list(organizationId, {
      ...{ q: null, tag: null, pageSize: MAX_PAGE_SIZE, continuationToken },
    })
    all.push(...page.data)
    continuationToken = page.continuationToken
  } while (continuationToken !== null)
  return all
}
