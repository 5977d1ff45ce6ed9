import type { Static } from 'typebox'
import { badField } from '../../errors.ts'
import { objectWithList, type Pieces } from '../../http/answers/pieces.ts'
import { checkMetadata } from '../../http/requests/fields.ts'
import { NIL_UUID } from '../../lib/ids.ts'
import { isJsonObject } from '../../lib/json.ts'
import { withoutReach } from '../tools/shown-tools.ts'
import type { BriefPersona, Persona, PersonaAndVersion, PersonaVersion, VersionContent } from './persona.ts'
import { toAiSystem, toConfiguration, variableRulesOf } from './persona-configuration.ts'
import type {
  CreatePersonaRequest,
  CreatePersonaVersionRequest,
  MinimalPersonaDto,
  PersonaDto,
  PersonaVersionDto,
  UpdatePersonaRequest,
  UpdatePersonaVersionRequest,
} from './persona-schemas.ts'
import type { Extras, NewPersona, NewVersion, PersonaChange, VersionChange } from './persona-service.ts'
import { variablesOf } from './template.ts'

export function toNewPersona(body: Static<typeof CreatePersonaRequest>): NewPersona {
  return {
    name: body.personaName,
    description: body.personaDescription,
    tags: body.personaTags ?? null,
    imageUrl: body.imageUrl ?? null,
    isActive: body.isActive ?? true,
    isApiEnabled: body.isApiEnabled ?? true,
    isChattable: body.isChattable ?? true,
    isSecret: body.isSecret ?? false,
    isTool: body.isTool ?? false,
    isChatbot: body.isChatbot ?? false,
    ...toContent(body),
  }
}

/** Null and "" take away what the version would inherit; an AI system and a model it always has. */
export function toNewVersion(body: Static<typeof CreatePersonaVersionRequest>): NewVersion {
  const { personaText, personaGreeting, personaConfiguration, personaMetadata } = body
  const version: NewVersion = { isActive: body.isActive ?? true }
  if (personaText !== undefined) version.text = personaText || null
  if (personaGreeting !== undefined) version.greeting = personaGreeting || null
  if (body.aiSystem != null) version.aiSystem = toAiSystem(body.aiSystem)
  if (body.model != null) version.model = body.model
  if (personaConfiguration !== undefined) version.configuration = toNullableConfiguration(personaConfiguration)
  if (personaMetadata !== undefined) version.metadata = checkMetadata('personaMetadata', personaMetadata)
  if (body.dataspaceIds !== undefined) version.dataspaceIds = body.dataspaceIds
  return version
}

function toNullableConfiguration(value: Static<typeof CreatePersonaVersionRequest>['personaConfiguration']) {
  return value ? toConfiguration('personaConfiguration', value) : null
}

function toContent(body: Static<typeof CreatePersonaRequest>): VersionContent & Extras {
  return {
    text: body.personaText ?? null,
    greeting: body.personaGreeting ?? null,
    aiSystem: toAiSystem(body.aiSystem),
    model: body.model,
    configuration: toNullableConfiguration(body.personaConfiguration),
    metadata: checkMetadata('personaMetadata', body.personaMetadata),
    dataspaceIds: body.dataspaceIds ?? null,
  }
}

/** Null means "leave it", because generated clients send null for everything they were not given; "" empties a text. */
export function toPersonaChange(body: Static<typeof UpdatePersonaRequest>): PersonaChange {
  for (const field of ['personaName', 'personaDescription'] as const) {
    if (body[field]?.trim() === '') throw badField(field, 'must not be empty')
  }
  const change: PersonaChange = toVersionContentChange(body)
  if (body.personaName != null) change.name = body.personaName
  if (body.personaDescription != null) change.description = body.personaDescription
  if (body.personaTags != null) change.tags = body.personaTags === '' ? null : body.personaTags
  if (body.imageUrl != null) change.imageUrl = body.imageUrl === '' ? null : body.imageUrl
  if (body.isActive != null) change.isActive = body.isActive
  if (body.isApiEnabled != null) change.isApiEnabled = body.isApiEnabled
  if (body.isSecret != null) change.isSecret = body.isSecret
  if (body.defaultVersionId && body.defaultVersionId !== NIL_UUID) {
    change.defaultVersionId = body.defaultVersionId.toLowerCase()
  }
  return change
}

export function toVersionChange(body: Static<typeof UpdatePersonaVersionRequest>): VersionChange {
  const change: VersionChange = toVersionContentChange(body)
  if (body.isActive != null) change.isActive = body.isActive
  return change
}

function toVersionContentChange(
  body: Static<typeof UpdatePersonaRequest> | Static<typeof UpdatePersonaVersionRequest>,
): VersionChange {
  if (body.model?.trim() === '') throw badField('model', 'must not be empty')
  const change: VersionChange = {}
  if (body.personaText != null) change.text = body.personaText === '' ? null : body.personaText
  if (body.personaGreeting != null) change.greeting = body.personaGreeting === '' ? null : body.personaGreeting
  if (body.aiSystem != null) change.aiSystem = toAiSystem(body.aiSystem)
  if (body.model != null) change.model = body.model
  if (body.personaConfiguration != null) {
    change.configuration = toConfiguration('personaConfiguration', body.personaConfiguration)
  }
  if (body.personaMetadata != null) change.metadata = checkMetadata('personaMetadata', body.personaMetadata)
  if (body.dataspaceIds != null) change.dataspaceIds = body.dataspaceIds
  return change
}

const NOBODY = {
  createdByFirstName: null,
  createdByLastName: null,
  modifiedByFirstName: null,
  modifiedByLastName: null,
}

/** What the caller may see: the text of a secret persona, and where its tools reach, is for keys that may both read and write personas. */
export type View = { mayRead: boolean; mayWrite: boolean }

/** What a persona and its versions hold that somebody has written. */
const WRITTEN = [
  ...(['personaName', 'personaDescription', 'personaTags', 'imageUrl'] as const),
  ...(['personaText', 'personaGreeting', 'personaConfiguration', 'personaMetadata'] as const),
  ...(['aiSystem', 'model', 'dataspaceIds'] as const),
]

/** An answer for one who may write personas and not read them: of what somebody has written, only what `body` has. */
export function onlyWritten<T extends object>(answer: T, body: object): T {
  const given = body as Record<string, unknown>
  const hidden = [
    ...WRITTEN.filter((field) => (given[field] ?? null) === null),
    ...('personaVersions' in answer ? ['personaVersions'] : []),
    ...('seed' in answer && (given['personaConfiguration'] ?? null) === null ? ['seed'] : []),
  ].filter((field) => field in answer)
  return { ...answer, ...Object.fromEntries(hidden.map((field) => [field, null])) }
}

export function toVersionDto(version: PersonaVersion, isSecret: boolean, view: View): Static<typeof PersonaVersionDto> {
  const isHidden = isSecret && !view.mayWrite
  return {
    personaVersionId: version.id,
    personaId: version.personaId,
    personaText: isHidden ? null : version.text,
    personaGreeting: version.greeting,
    aiSystem: version.aiSystem,
    model: version.model,
    personaConfiguration: isHidden ? withoutReach(version.configuration) : version.configuration,
    personaMetadata: version.metadata,
    dataspaceIds: version.dataspaceIds,
    isActive: version.isActive,
    createdAt: toDate(version.createdAt),
    modifiedAt: toNullableDate(version.modifiedAt),
    ...NOBODY,
  }
}

export function toPersonaDto(
  persona: Persona,
  version: PersonaVersion,
  versions: PersonaVersion[] | null,
  view: View,
): Static<typeof PersonaDto> {
  const { personaText, personaGreeting, personaConfiguration, aiSystem, model, dataspaceIds } = toVersionDto(
    version,
    persona.isSecret,
    view,
  )
  const seed = isJsonObject(version.configuration) ? version.configuration['seed'] : undefined
  const createdAt = toDate(persona.createdAt)
  const modifiedAt = toNullableDate(persona.modifiedAt)
  return {
    personaId: persona.id,
    personaName: persona.name,
    personaDescription: persona.description,
    personaTags: persona.tags,
    personaText,
    personaGreeting,
    personaConfiguration,
    aiSystem,
    model,
    dataspaceIds,
    personaMetadata: persona.metadata,
    personaVersionId: version.id,
    personaVersions: versions?.map((one) => toVersionDto(one, persona.isSecret, view)) ?? null,
    defaultVersionId: persona.defaultVersionId,
    imageUrl: persona.imageUrl,
    seed: typeof seed === 'number' ? seed : null,
    isActive: persona.isActive,
    isApiEnabled: persona.isApiEnabled,
    isSecret: persona.isSecret,
    isChattable: persona.isChattable,
    isTool: persona.isTool,
    isChatbot: persona.isChatbot,
    // There are no workspaces, favourites or private items here: everything belongs to the organization.
    ownedBy: persona.organizationId,
    organizationId: persona.organizationId,
    workspaceId: null,
    workspaceName: null,
    isWorkspaceItem: false,
    isOrganizationItem: true,
    isGlobalItem: false,
    isFavoriteItem: false,
    isPrivatelyOwned: false,
    isWorkspaceOwned: false,
    isOrganizationOwned: true,
    isHyperleapOwned: false,
    isWorkspacePersona: false,
    isOrganizationPersona: true,
    isGlobalPersona: false,
    isFavorite: false,
    canRead: true,
    canRun: persona.isActive && persona.isApiEnabled,
    canUpdate: view.mayWrite,
    canEnableApi: view.mayWrite,
    canDelete: view.mayWrite,
    canTransfer: false,
    createdAt,
    modifiedAt,
    ...NOBODY,
    lastCreatedAt: createdAt,
    lastModifiedAt: modifiedAt,
    lastCreatedByFirstName: null,
    lastCreatedByLastName: null,
    lastModifiedByFirstName: null,
    lastModifiedByLastName: null,
    versionCreatedAt: toDate(version.createdAt),
    versionModifiedAt: toNullableDate(version.modifiedAt),
    versionCreatedByFirstName: null,
    versionCreatedByLastName: null,
    versionModifiedByFirstName: null,
    versionModifiedByLastName: null,
    personaCreatedAt: createdAt,
    personaModifiedAt: modifiedAt,
    personaCreatedByFirstName: null,
    personaCreatedByLastName: null,
    personaModifiedByFirstName: null,
    personaModifiedByLastName: null,
  }
}

/** The JSON of a persona, its versions piece by piece. `beside` are fields that the answer has besides. */
export function toPersonaPieces(
  { persona, version }: PersonaAndVersion,
  versions: AsyncIterable<readonly PersonaVersion[]> | null,
  view: View,
  beside: { variables?: string[] } = {},
): Pieces {
  const { personaVersions: _, ...fields } = toPersonaDto(persona, version, null, view)
  const texts = versions && textsOf(versions, persona.isSecret, view)
  return objectWithList({ ...fields, ...beside }, 'personaVersions', texts)
}

/** The variables of the texts that are shown, in order of appearance; the names in a hidden text are hidden with it. */
export function toVariables({ persona, version }: PersonaAndVersion, view: View): string[] {
  const rules = variableRulesOf(version.configuration)
  const { personaText, personaGreeting } = toVersionDto(version, persona.isSecret, view)
  return [...new Set([personaText, personaGreeting].flatMap((text) => variablesOf(text ?? '', rules)))]
}

async function* textsOf(versions: AsyncIterable<readonly PersonaVersion[]>, isSecret: boolean, view: View) {
  for await (const piece of versions) yield piece.map((one) => JSON.stringify(toVersionDto(one, isSecret, view)))
}

export function toMinimalDto(persona: BriefPersona): Static<typeof MinimalPersonaDto> {
  return {
    personaId: persona.id,
    personaName: persona.name,
    personaDescription: persona.description,
    personaTags: persona.tags,
    imageUrl: persona.imageUrl,
    defaultVersionId: persona.defaultVersionId,
    isActive: persona.isActive,
  }
}

function toDate(at: number): string {
  return new Date(at).toISOString()
}

function toNullableDate(at: number | null): string | null {
  return at === null ? null : toDate(at)
}
