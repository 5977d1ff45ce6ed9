import type { PersonaAndVersion } from '../features/personas/persona.ts'
import { MAX_PAGE_SIZE } from '../http/answers/pagination.ts'
import type { Services } from '../services.ts'
import { defineCommand } from './command.ts'
import { formatJson, formatTable, formatTime, isoTime, JSON_HELP, JSON_OPTION } from './table.ts'
import { findOrganization, ORGANIZATION_HELP, withServices } from './with-services.ts'

export const personasListCommand = defineCommand({
  usage: '[--organization ID] [--json]',
  details: [ORGANIZATION_HELP, JSON_HELP].join('\n'),
  options: { organization: { type: 'string' }, ...JSON_OPTION },
  run: async ({ values, io }) => {
    const all = await withServices(io, async (services) => {
      const { id } = await findOrganization(services, values.organization)
      return listAll(services, id)
    })
    const heading = ['NAME', 'STATUS', 'AI SYSTEM', 'MODEL', 'CREATED', 'ID']
    io.stdout.write(values.json ? formatJson(all.map(toJson)) : formatTable([heading, ...all.map(toRow)]))
    return undefined
  },
})

function toRow({ persona, version }: PersonaAndVersion): string[] {
  const status = persona.isActive ? (persona.isApiEnabled ? 'active' : 'not for the API') : 'inactive'
  return [persona.name, status, version.aiSystem, version.model, formatTime(persona.createdAt), persona.id]
}

function toJson({ persona, version }: PersonaAndVersion): object {
  const { id, name, description, isActive, isApiEnabled, organizationId } = persona
  const { aiSystem, model } = version
  return {
    id,
    name,
    description,
    isActive,
    isApiEnabled,
    aiSystem,
    model,
    versionId: version.id,
    organizationId,
    createdAt: isoTime(persona.createdAt),
  }
}

async function listAll({ personas }: Services, organizationId: string): Promise<PersonaAndVersion[]> {
  const all: PersonaAndVersion[] = []
  let continuationToken: string | null = null
  do {
    const page: Awaited<ReturnType<typeof personas.list>> = await personas.list(organizationId, {
      q: null,
      tag: null,
      pageSize: MAX_PAGE_SIZE,
      continuationToken,
    })
    for await (const one of page.items) all.push(one)
    continuationToken = page.tokenAtEnd
  } while (continuationToken !== null)
  return all
}
