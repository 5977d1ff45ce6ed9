import type { Insertable, Selectable } from 'kysely'
import { sql } from 'kysely'
import { arrayFromText, objectFromText, textFromJson } from '../../lib/json.ts'
import type { Database } from '../../storage/database.ts'
import { type Parameters, prepareRead, prepareWrite } from '../../storage/prepare.ts'
import type { Schema } from '../../storage/schema.ts'
import type { Persona, PersonaAndVersion, PersonaVersion } from './persona.ts'

type PersonaRow = Selectable<Schema['persona']>
type VersionRow = Selectable<Schema['persona_version']>
type VersionKey = { organizationId: string; personaId: string; id: string }

const PERSONA_COLUMNS = [
  'organization_id',
  'id',
  'name',
  'description',
  'tags',
  'image_url',
  'metadata',
  'default_version_id',
  'is_active',
  'is_api_enabled',
  'is_secret',
  'is_chattable',
  'is_tool',
  'is_chatbot',
  'search_text',
  'search_tags',
  'revision',
  'created_at',
  'modified_at',
  'deleted_at',
] as const

export const insertPersona = prepareWrite((db, p: Parameters<Insertable<Schema['persona']>>) =>
  db
    .insertInto('persona')
    .values(Object.fromEntries(PERSONA_COLUMNS.map((column) => [column, p(column)])) as PersonaRow),
)

export const insertVersion = prepareWrite((db, p: Parameters<VersionRow>) =>
  db.insertInto('persona_version').values({
    organization_id: p('organization_id'),
    persona_id: p('persona_id'),
    id: p('id'),
    text: p('text'),
    greeting: p('greeting'),
    ai_system: p('ai_system'),
    model: p('model'),
    configuration: p('configuration'),
    metadata: p('metadata'),
    dataspace_ids: p('dataspace_ids'),
    is_active: p('is_active'),
    created_at: p('created_at'),
    modified_at: p('modified_at'),
  }),
)

/** The guard of `updatePersona`: nobody has changed or deleted the persona since it was read. */
export const PERSONA_UNCHANGED = 'persona_unchanged'

export const updatePersona = prepareWrite(
  (db, p: Parameters<PersonaRow>) =>
    db
      .updateTable('persona')
      .set((eb) => ({
        name: p('name'),
        description: p('description'),
        tags: p('tags'),
        image_url: p('image_url'),
        metadata: p('metadata'),
        default_version_id: p('default_version_id'),
        is_active: p('is_active'),
        is_api_enabled: p('is_api_enabled'),
        is_secret: p('is_secret'),
        search_text: p('search_text'),
        search_tags: p('search_tags'),
        revision: eb('revision', '+', 1),
        modified_at: p('modified_at'),
      }))
      .where('organization_id', '=', p('organization_id'))
      .where('id', '=', p('id'))
      .where('revision', '=', p('revision'))
      .where('deleted_at', 'is', null),
  { guard: PERSONA_UNCHANGED },
)

export const moveDefaultVersion = prepareWrite(
  (db, p: Parameters<{ organizationId: string; id: string; versionId: string; at: number }>) =>
    db
      .updateTable('persona')
      .set((eb) => ({ default_version_id: p('versionId'), revision: eb('revision', '+', 1), modified_at: p('at') }))
      .where('organization_id', '=', p('organizationId'))
      .where('id', '=', p('id'))
      .where('deleted_at', 'is', null),
  { guard: 'persona_exists' },
)

// One statement for each field: changes of different fields at the same time do not undo each other.
export const setVersionActive = prepareWrite((db, p: Parameters<VersionKey & { isActive: 0 | 1; at: number }>) =>
  db
    .updateTable('persona_version')
    .set({ is_active: p('isActive'), modified_at: p('at') })
    .where('organization_id', '=', p('organizationId'))
    .where('persona_id', '=', p('personaId'))
    .where('id', '=', p('id')),
)

export const setVersionMetadata = prepareWrite(
  (db, p: Parameters<VersionKey & { metadata: string | null; at: number }>) =>
    db
      .updateTable('persona_version')
      .set({ metadata: p('metadata'), modified_at: p('at') })
      .where('organization_id', '=', p('organizationId'))
      .where('persona_id', '=', p('personaId'))
      .where('id', '=', p('id')),
)

export const deletePersona = prepareWrite(
  (db, p: Parameters<{ organizationId: string; id: string; at: number }>) =>
    db
      .updateTable('persona')
      .set({ deleted_at: p('at') })
      .where('organization_id', '=', p('organizationId'))
      .where('id', '=', p('id'))
      .where('deleted_at', 'is', null),
  { guard: 'persona_exists' },
)

const selectPersonaRow = prepareRead((db, p: Parameters<{ organizationId: string; id: string }>) =>
  db.selectFrom('persona').selectAll().where('organization_id', '=', p('organizationId')).where('id', '=', p('id')),
)

const selectVersionRow = prepareRead((db, p: Parameters<VersionKey>) =>
  db
    .selectFrom('persona_version')
    .selectAll()
    .where('organization_id', '=', p('organizationId'))
    .where('persona_id', '=', p('personaId'))
    .where('id', '=', p('id')),
)

const selectVersionRows = prepareRead((db, p: Parameters<{ organizationId: string; personaId: string }>) =>
  db
    .selectFrom('persona_version')
    .selectAll()
    .where('organization_id', '=', p('organizationId'))
    .where('persona_id', '=', p('personaId'))
    .orderBy('id', 'desc'),
)

/** A persona, deleted ones included; undefined if there never was one. */
export async function findPersona(
  database: Database,
  key: { organizationId: string; id: string },
): Promise<{ persona: Persona; isDeleted: boolean } | undefined> {
  const row = (await selectPersonaRow(database, key))[0]
  return row && { persona: toPersona(row), isDeleted: row.deleted_at !== null }
}

export async function findVersion(database: Database, key: VersionKey): Promise<PersonaVersion | undefined> {
  const row = (await selectVersionRow(database, key))[0]
  return row && toVersion(row)
}

/** All versions of a persona, newest first. */
export async function findVersions(
  database: Database,
  key: { organizationId: string; personaId: string },
): Promise<PersonaVersion[]> {
  return (await selectVersionRows(database, key)).map(toVersion)
}

/** Rows, the one that only tells that there are more included. */
const SHORT_PAGE = 21

export type PersonaFilter = { q: string | null; tag: string | null }

/** Personas with their default versions, newest first, behind the id `after`. */
export async function findPersonas(
  database: Database,
  organizationId: string,
  filter: PersonaFilter,
  after: string | null,
  limit: number,
): Promise<PersonaAndVersion[]> {
  const versionColumns = ['text', 'greeting', 'ai_system', 'model', 'configuration', 'dataspace_ids'] as const
  let query = database.dialect.builder
    .selectFrom('persona')
    .innerJoin('persona_version', (join) =>
      join
        .onRef('persona_version.organization_id', '=', 'persona.organization_id')
        .onRef('persona_version.persona_id', '=', 'persona.id')
        .onRef('persona_version.id', '=', 'persona.default_version_id'),
    )
    .selectAll('persona')
    .select(versionColumns.map((column) => `persona_version.${column}` as const))
    .select([
      'persona_version.metadata as version_metadata',
      'persona_version.is_active as version_is_active',
      'persona_version.created_at as version_created_at',
      'persona_version.modified_at as version_modified_at',
    ])
    .where('persona.organization_id', '=', organizationId)
    .where('persona.deleted_at', 'is', null)
    .orderBy('persona.id', 'desc')
    .limit(limit)
  if (after !== null) query = query.where('persona.id', '<', after)
  if (filter.q !== null) query = query.where('persona.search_text', 'like', containing(filter.q.toLowerCase()))
  if (filter.tag !== null) {
    query = query.where('persona.search_tags', 'like', containing(`,${filter.tag.trim().toLowerCase()},`))
  }

  // A few rows along the key are no long read; a filter may have to look at all there are.
  const isShort = limit <= SHORT_PAGE && filter.q === null && filter.tag === null
  const rows = await (isShort ? database.read(query.compile()) : database.scan(query.compile()))
  return rows.map((row) => ({
    persona: toPersona(row),
    version: toVersion({
      ...row,
      id: row.default_version_id,
      persona_id: row.id,
      metadata: row.version_metadata,
      is_active: row.version_is_active,
      created_at: row.version_created_at,
      modified_at: row.version_modified_at,
    }),
  }))
}

function containing(text: string) {
  return sql<string>`${`%${text.replaceAll(/[\\%_]/g, '\\$&')}%`} escape '\\'`
}

/** Tags are one text, separated by commas; spaces around them do not count. */
function toSearchTags(tags: string | null): string {
  const list = (tags ?? '').split(',').map((tag) => tag.trim().toLowerCase())
  return `,${list.filter((tag) => tag !== '').join(',')},`
}

function toPersona(row: PersonaRow): Persona {
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

function toVersion(row: Omit<VersionRow, 'organization_id'>): PersonaVersion {
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
