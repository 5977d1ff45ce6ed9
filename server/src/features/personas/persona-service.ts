import { isDeepStrictEqual } from 'node:util'
import { AppError, badField } from '../../errors.ts'
import {
  createContinuationToken,
  type OpenPage,
  type Page,
  readContinuationToken,
  toOpenPage,
  toPage,
} from '../../http/answers/pagination.ts'
import { PIECE_BYTES } from '../../http/answers/pieces.ts'
import type { Clock } from '../../lib/clock.ts'
import type { IdSource } from '../../lib/ids.ts'
import { type JsonObject, textFromJson } from '../../lib/json.ts'
import { cutBySize } from '../../lib/text/cut-by-size.ts'
import { type Database, type Statement, untilUndisturbed, writeOr } from '../../storage/database.ts'
import type { OrganizationService } from '../organizations/organization-service.ts'
import type {
  BriefPersona,
  Persona,
  PersonaAndVersion,
  PersonaFlags,
  PersonaVersion,
  VersionContent,
} from './persona.ts'
import {
  deletePersona,
  findBriefPersonas,
  findListed,
  findPersona,
  findPersonas,
  findVersion,
  insertPersona,
  insertVersion,
  PERSONA_UNCHANGED,
  type PersonaFilter,
  setVersionActive,
  setVersionMetadata,
  updatePersona,
} from './persona-queries.ts'
import { fromPersona, fromVersion } from './persona-rows.ts'
import { findVersions } from './version-queries.ts'

type Details = { name: string; description: string; tags: string | null; imageUrl: string | null }
export type Extras = { metadata: JsonObject | null; dataspaceIds: string[] | null }

export type NewPersona = Details & PersonaFlags & VersionContent & Extras
/** What is absent is that of the default version. */
export type NewVersion = Partial<VersionContent & Extras> & { isActive: boolean }
/** Only what is to change. */
export type PersonaChange = Partial<Details & PersonaFlags & VersionContent & Extras & { defaultVersionId: string }>
export type VersionChange = Partial<VersionContent & Extras & { isActive: boolean }>

export type ListRequest = PersonaFilter & { pageSize: number; continuationToken: string | null }
export type PersonaService = ReturnType<typeof createPersonaService>

const CONTENT_FIELDS = ['text', 'greeting', 'aiSystem', 'model', 'configuration'] as const

/** Personas and their versions. A version is immutable; changing a persona's content makes a new one. */
export function createPersonaService(deps: {
  database: Database
  ids: IdSource
  clock: Clock
  organizations: Pick<OrganizationService, 'tokenSecret'>
}) {
  const { database, ids, clock, organizations } = deps

  async function get(organizationId: string, id: string): Promise<Persona> {
    const found = await findPersona(database, { organizationId, id })
    if (!found || found.isDeleted) throw personaNotFound()
    return found.persona
  }

  async function getVersion(organizationId: string, personaId: string, id: string): Promise<PersonaVersion> {
    const version = await findVersion(database, { organizationId, personaId, id })
    if (!version) throw new AppError('not_found', 'the persona has no such version')
    return version
  }

  async function withDefault(persona: Persona): Promise<PersonaAndVersion> {
    return { persona, version: await getVersion(persona.organizationId, persona.id, persona.defaultVersionId) }
  }

  /** Which personas a page has, and one more if there are more. */
  async function find(organizationId: string, { q, tag, pageSize, continuationToken }: ListRequest) {
    const secret = await organizations.tokenSecret(organizationId)
    const query = ['personas', q, tag]
    const after = continuationToken === null ? null : readContinuationToken(secret, query, continuationToken)
    const found = await findListed(database, organizationId, { q, tag }, after, pageSize + 1)
    return { found, tokenFor: (id: string) => createContinuationToken(secret, query, id) }
  }

  function makeVersion(personaId: string, content: VersionContent & Extras & { isActive: boolean }): PersonaVersion {
    const { text, greeting, aiSystem, model, configuration, metadata, dataspaceIds, isActive } = content
    const made = { text, greeting, aiSystem, model, configuration, metadata, dataspaceIds, isActive }
    return { ...made, id: ids.next(), personaId, createdAt: clock(), modifiedAt: null }
  }

  /** The statements that make a persona and its first version, for a batch. */
  function prepare(organizationId: string, input: NewPersona): PersonaAndVersion & { statements: Statement[] } {
    const id = ids.next()
    const version = makeVersion(id, { ...input, isActive: true })
    const { name, description, tags, imageUrl, metadata } = input
    const { isActive, isApiEnabled, isSecret, isChattable, isTool, isChatbot } = input
    const persona: Persona = {
      id,
      organizationId,
      name,
      description,
      tags,
      imageUrl,
      metadata,
      defaultVersionId: version.id,
      isActive,
      isApiEnabled,
      isSecret,
      isChattable,
      isTool,
      isChatbot,
      revision: 0,
      createdAt: version.createdAt,
      modifiedAt: null,
    }
    const statements = [
      insertPersona(database, fromPersona(persona)),
      insertVersion(database, fromVersion(organizationId, version)),
    ]
    return { persona, version, statements }
  }

  async function updateOnce(organizationId: string, id: string, change: PersonaChange): Promise<PersonaAndVersion> {
    const current = await withDefault(await get(organizationId, id))
    const content = { ...current.version, ...pick(change, [...CONTENT_FIELDS, 'dataspaceIds']) }
    const isNewContent = !isSameContent(content, current.version)
    const moved = change.defaultVersionId ?? current.persona.defaultVersionId
    if (isNewContent && moved !== current.persona.defaultVersionId) {
      throw badField('defaultVersionId', 'cannot be given together with new content, which makes a version of its own')
    }
    const version = isNewContent
      ? makeVersion(id, { ...content, isActive: true })
      : moved === current.version.id
        ? current.version
        : await usableVersion(organizationId, id, moved)
    const persona: Persona = {
      ...current.persona,
      ...pick(change, ['name', 'description', 'tags', 'imageUrl', 'metadata']),
      ...pick(change, ['isActive', 'isApiEnabled', 'isSecret']),
      defaultVersionId: version.id,
      modifiedAt: clock(),
    }
    const statements = [updatePersona(database, fromPersona(persona))]
    if (isNewContent) statements.push(insertVersion(database, fromVersion(organizationId, version)))
    await database.write(statements)
    return { persona, version }
  }

  async function addVersionOnce(organizationId: string, personaId: string, added: NewVersion): Promise<PersonaVersion> {
    const { persona, version: inherited } = await withDefault(await get(organizationId, personaId))
    const version = makeVersion(personaId, {
      ...inherited,
      ...pick(added, [...CONTENT_FIELDS, 'metadata', 'dataspaceIds']),
      isActive: added.isActive,
    })
    const statements = [insertVersion(database, fromVersion(organizationId, version))]
    if (version.isActive) {
      const moved = { ...persona, defaultVersionId: version.id, modifiedAt: clock() }
      statements.push(updatePersona(database, fromPersona(moved)))
    }
    await database.write(statements)
    return version
  }

  return {
    prepare,

    async create(organizationId: string, input: NewPersona): Promise<PersonaAndVersion> {
      const { persona, version, statements } = prepare(organizationId, input)
      await database.write(statements)
      return { persona, version }
    },

    /** A persona with its default version and all versions, newest first, in pieces. Throws 404. */
    async getWithVersions(
      organizationId: string,
      id: string,
    ): Promise<PersonaAndVersion & { versions: AsyncGenerator<PersonaVersion[], void> }> {
      const { persona, version } = await withDefault(await get(organizationId, id))
      return { persona, version, versions: findVersions(database, { organizationId, personaId: id }) }
    },

    /** A persona with one of its versions. Throws 404. */
    async getVersion(organizationId: string, personaId: string, versionId: string): Promise<PersonaAndVersion> {
      const persona = await get(organizationId, personaId)
      return { persona, version: await getVersion(organizationId, personaId, versionId) }
    },

    /** Personas with their default versions, newest first. */
    async list(organizationId: string, request: ListRequest): Promise<OpenPage<PersonaAndVersion & { id: string }>> {
      const { found, tokenFor } = await find(organizationId, request)
      return toOpenPage(found, request.pageSize, tokenFor, async function* (listed) {
        for (const piece of cutBySize(listed, PIECE_BYTES, ({ bytes }) => bytes)) {
          const ids = piece.map(({ id }) => id)
          for (const one of await findPersonas(database, organizationId, ids)) yield { ...one, id: one.persona.id }
        }
      })
    },

    /** The same with little more than their names. */
    async listBrief(organizationId: string, request: ListRequest): Promise<Page<BriefPersona>> {
      const { found, tokenFor } = await find(organizationId, request)
      const { data, continuationToken } = toPage(found, request.pageSize, ({ id }) => tokenFor(id))
      const ids = data.map(({ id }) => id)
      return { data: await findBriefPersonas(database, organizationId, ids), continuationToken }
    },

    /**
     * Changes a persona. A change of content makes a new version, which becomes the default; `defaultVersionId` alone
     * moves the default, which is how one rolls back. Changes at the same time all count.
     * Throws 404, and 422 when the version is not one to move to.
     */
    update(organizationId: string, id: string, change: PersonaChange): Promise<PersonaAndVersion> {
      return untilUndisturbed(PERSONA_UNCHANGED, () => updateOnce(organizationId, id, change))
    },

    /**
     * Adds a version to the default one, from which it has what it does not bring; it becomes the default unless it is
     * inactive. Changes at the same time all count. Throws 404.
     */
    addVersion(organizationId: string, personaId: string, added: NewVersion): Promise<PersonaVersion> {
      return untilUndisturbed(PERSONA_UNCHANGED, () => addVersionOnce(organizationId, personaId, added))
    },

    /** Changes what may change of a version. Throws 409 for content that is not what the version has, and 404. */
    async updateVersion(
      organizationId: string,
      personaId: string,
      versionId: string,
      change: VersionChange,
    ): Promise<PersonaVersion> {
      await get(organizationId, personaId)
      const version = await getVersion(organizationId, personaId, versionId)
      if (!isSameContent({ ...version, ...pick(change, [...CONTENT_FIELDS, 'dataspaceIds']) }, version)) {
        throw new AppError('conflict', 'a version is immutable: make a new one with POST /personas/{personaId}')
      }
      const key = { organizationId, personaId, id: versionId, at: clock() }
      const statements: Statement[] = []
      if (change.isActive !== undefined) {
        statements.push(setVersionActive(database, { ...key, isActive: change.isActive ? 1 : 0 }))
      }
      if (change.metadata !== undefined) {
        statements.push(setVersionMetadata(database, { ...key, metadata: textFromJson(change.metadata) }))
      }
      await database.write(statements)
      return getVersion(organizationId, personaId, versionId)
    },

    /** Deletes a persona softly: it cannot be used any more, its conversations live on. Throws 404. */
    async remove(organizationId: string, id: string): Promise<void> {
      await writeOr(database, [deletePersona(database, { organizationId, id, at: clock() })], personaNotFound)
    },

    /**
     * What a new conversation starts from. Throws 404, 410 for a deleted persona, 403 for one that is inactive or not
     * enabled for the API or for an inactive version, and 422 for a version that is not of this persona.
     */
    async forConversation(
      organizationId: string,
      personaId: string,
      versionId: string | null,
    ): Promise<PersonaAndVersion> {
      const found = await findPersona(database, { organizationId, id: personaId })
      if (!found) throw personaNotFound()
      if (found.isDeleted) throw new AppError('gone', 'the persona has been deleted')
      const { persona } = found
      if (!persona.isActive) throw new AppError('forbidden', 'the persona is inactive')
      if (!persona.isApiEnabled) throw new AppError('forbidden', 'the persona is not enabled for the API')
      const id = versionId ?? persona.defaultVersionId
      const version = await findVersion(database, { organizationId, personaId, id })
      if (!version) throw notOfThisPersona('personaVersionId')
      if (!version.isActive) throw new AppError('forbidden', 'the version of the persona is inactive')
      return { persona, version }
    },
  }

  async function usableVersion(organizationId: string, personaId: string, id: string): Promise<PersonaVersion> {
    const version = await findVersion(database, { organizationId, personaId, id })
    if (!version) throw notOfThisPersona('defaultVersionId')
    if (!version.isActive) {
      throw new AppError('unprocessable_entity', 'an inactive version cannot be the default', {
        details: [{ field: 'defaultVersionId', issue: 'is inactive' }],
      })
    }
    return version
  }
}

function isSameContent(a: VersionContent & Extras, b: VersionContent & Extras): boolean {
  return [...CONTENT_FIELDS, 'dataspaceIds' as const].every((field) => isDeepStrictEqual(a[field], b[field]))
}

/** The named members of `source` that are there, and none that is undefined. */
function pick<T extends object, K extends keyof T>(
  source: T,
  names: readonly K[],
): { [N in K]?: Exclude<T[N], undefined> } {
  return Object.fromEntries(names.filter((name) => source[name] !== undefined).map((name) => [name, source[name]])) as {
    [N in K]?: Exclude<T[N], undefined>
  }
}

function personaNotFound(): AppError {
  return new AppError('not_found', 'there is no such persona')
}

function notOfThisPersona(field: string): AppError {
  return new AppError('unprocessable_entity', 'the version is not one of this persona', {
    details: [{ field, issue: 'is not a version of this persona' }],
  })
}
