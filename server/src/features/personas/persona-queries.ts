import type { Insertable } from 'kysely'
import { sql } from 'kysely'
import type { Database } from '../../storage/database.ts'
import { type Parameters, prepareRead, prepareWrite } from '../../storage/prepare.ts'
import type { Schema } from '../../storage/schema.ts'
import type { BriefPersona, Persona, PersonaAndVersion, PersonaVersion } from './persona.ts'
import { type PersonaRow, toPersona, toVersion, type VersionRow } from './persona-rows.ts'
import { bytesOfVersion } from './version-queries.ts'

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

/** Rows, the one that only tells that there are more included. */
const SHORT_PAGE = 21

export type PersonaFilter = { q: string | null; tag: string | null }

export type Listed = { id: string; bytes: number }

/** Which personas a list has, newest first, behind the id `after`; and how large they are with their default versions. */
export async function findListed(
  database: Database,
  organizationId: string,
  filter: PersonaFilter,
  after: string | null,
  limit: number,
): Promise<Listed[]> {
  let query = withDefaultVersion(database)
    .select(['persona.id', sql<number>`(coalesce(octet_length(persona.metadata), 0) + ${bytesOfVersion})`.as('bytes')])
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
  return isShort ? database.read(query.compile()) : database.scan(query.compile(), organizationId)
}

/** Those personas that are not deleted, with their default versions, newest first. */
export async function findPersonas(
  database: Database,
  organizationId: string,
  ids: readonly string[],
): Promise<PersonaAndVersion[]> {
  const versionColumns = ['text', 'greeting', 'ai_system', 'model', 'configuration', 'dataspace_ids'] as const
  const query = withDefaultVersion(database)
    .selectAll('persona')
    .select(versionColumns.map((column) => `persona_version.${column}` as const))
    .select([
      'persona_version.metadata as version_metadata',
      'persona_version.is_active as version_is_active',
      'persona_version.created_at as version_created_at',
      'persona_version.modified_at as version_modified_at',
    ])
    .where('persona.organization_id', '=', organizationId)
    .where('persona.id', 'in', ids)
    .where('persona.deleted_at', 'is', null)
    .orderBy('persona.id', 'desc')
  return (await database.read(query.compile())).map((row) => ({
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

/** What a short list shows of those personas that are not deleted, newest first. */
export async function findBriefPersonas(
  database: Database,
  organizationId: string,
  ids: readonly string[],
): Promise<BriefPersona[]> {
  if (ids.length === 0) return []
  const query = database.dialect.builder
    .selectFrom('persona')
    .select(['id', 'name', 'description', 'tags', 'image_url', 'default_version_id', 'is_active'])
    .where('organization_id', '=', organizationId)
    .where('id', 'in', ids)
    .where('deleted_at', 'is', null)
    .orderBy('id', 'desc')
  return (await database.read(query.compile())).map((row) => ({
    id: row.id,
    name: row.name,
    description: row.description,
    tags: row.tags,
    imageUrl: row.image_url,
    defaultVersionId: row.default_version_id,
    isActive: row.is_active === 1,
  }))
}

function withDefaultVersion(database: Database) {
  return database.dialect.builder
    .selectFrom('persona')
    .innerJoin('persona_version', (join) =>
      join
        .onRef('persona_version.organization_id', '=', 'persona.organization_id')
        .onRef('persona_version.persona_id', '=', 'persona.id')
        .onRef('persona_version.id', '=', 'persona.default_version_id'),
    )
}

function containing(text: string) {
  return sql<string>`${`%${text.replaceAll(/[\\%_]/g, '\\$&')}%`} escape '\\'`
}
