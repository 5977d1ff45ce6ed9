import type { Selectable } from 'kysely'
import { arrayFromText, objectFromText, textFromJson } from '../../lib/json.ts'
import type { Schema } from '../../storage/schema.ts'
import type { Persona, PersonaVersion } from './persona.ts'

export type PersonaRow = Selectable<Schema['persona']>
export type VersionRow = Selectable<Schema['persona_version']>

/** Tags are one text, separated by commas; spaces around them do not count. */
function toSearchTags(tags: string | null): string {
  const list = (tags ?? '').split(',').map((tag) => tag.trim().toLowerCase())
  return `,${list.filter((tag) => tag !== '').join(',')},`
}

/** A persona as its row says. */
export function toPersona(row: PersonaRow): Persona {
  return {
    id: row.id,
    organizationId: row.organization_id,
    name: row.name,
    description: row.description,
    tags: row.tags,
    imageUrl: row.image_url,
    metadata: objectFromText(row.metadata),
    defaultVersionId: row.default_version_id,
    isActive: row.is_active === 1,
    isApiEnabled: row.is_api_enabled === 1,
    isSecret: row.is_secret === 1,
    isChattable: row.is_chattable === 1,
    isTool: row.is_tool === 1,
    isChatbot: row.is_chatbot === 1,
    revision: row.revision,
    createdAt: row.created_at,
    modifiedAt: row.modified_at,
  }
}

/** The row of a persona, for `insertPersona` and `updatePersona`. */
export function fromPersona(persona: Persona): PersonaRow {
  return {
    organization_id: persona.organizationId,
    id: persona.id,
    name: persona.name,
    description: persona.description,
    tags: persona.tags,
    image_url: persona.imageUrl,
    metadata: textFromJson(persona.metadata),
    default_version_id: persona.defaultVersionId,
    is_active: persona.isActive ? 1 : 0,
    is_api_enabled: persona.isApiEnabled ? 1 : 0,
    is_secret: persona.isSecret ? 1 : 0,
    is_chattable: persona.isChattable ? 1 : 0,
    is_tool: persona.isTool ? 1 : 0,
    is_chatbot: persona.isChatbot ? 1 : 0,
    search_text: `${persona.name}\n${persona.description}`.toLowerCase(),
    search_tags: toSearchTags(persona.tags),
    revision: persona.revision,
    created_at: persona.createdAt,
    modified_at: persona.modifiedAt,
    deleted_at: null,
  }
}

/** A version as its row says. */
export function toVersion(row: Omit<VersionRow, 'organization_id'>): PersonaVersion {
  return {
    id: row.id,
    personaId: row.persona_id,
    text: row.text,
    greeting: row.greeting,
    aiSystem: row.ai_system,
    model: row.model,
    configuration: objectFromText(row.configuration),
    metadata: objectFromText(row.metadata),
    dataspaceIds: arrayFromText<string>(row.dataspace_ids),
    isActive: row.is_active === 1,
    createdAt: row.created_at,
    modifiedAt: row.modified_at,
  }
}

/** The row of a version, for `insertVersion`. */
export function fromVersion(organizationId: string, version: PersonaVersion): VersionRow {
  return {
    organization_id: organizationId,
    persona_id: version.personaId,
    id: version.id,
    text: version.text,
    greeting: version.greeting,
    ai_system: version.aiSystem,
    model: version.model,
    configuration: textFromJson(version.configuration),
    metadata: textFromJson(version.metadata),
    dataspace_ids: textFromJson(version.dataspaceIds),
    is_active: version.isActive ? 1 : 0,
    created_at: version.createdAt,
    modified_at: version.modifiedAt,
  }
}
