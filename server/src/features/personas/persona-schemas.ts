import {
  AiSystemName,
  Named,
  Nullable,
  NullableFlag,
  NullableInteger,
  NullableObject,
  NullableText,
  NullableTimestamp,
  NullableUuid,
  NullableUuids,
  Timestamp,
  Uuid,
} from '../../http/schemas.ts'
import { Type } from '../../lib/schema.ts'
import { NullablePersonaConfiguration } from './persona-configuration.ts'

const optional = Type.Optional

/** The longest persona text and greeting of a version, in UTF-16 units. */
const MAX_TEXT = 500_000
const Name = Type.String({ minLength: 1, maxLength: 50, pattern: '\\S' })
const Description = Type.String({ minLength: 1, maxLength: 500, pattern: '\\S' })
const NullableAiSystem = Nullable<string | number>(AiSystemName)
const Model = Type.String({ minLength: 1, maxLength: 200, pattern: '\\S' })

export const CreatePersonaRequest = Named('CreatePersonaRequest', {
  personaName: Name,
  personaDescription: Description,
  aiSystem: AiSystemName,
  model: Type.String({ minLength: 1, maxLength: 50, pattern: '\\S' }),
  personaGreeting: optional(NullableText(500)),
  personaTags: optional(NullableText(2_000)),
  imageUrl: optional(NullableText(2_000)),
  personaText: optional(NullableText(MAX_TEXT)),
  dataspaceIds: optional(NullableUuids),
  isActive: optional(NullableFlag),
  isApiEnabled: optional(NullableFlag),
  isSecret: optional(NullableFlag),
  isChattable: optional(NullableFlag),
  isTool: optional(NullableFlag),
  isChatbot: optional(NullableFlag),
  personaConfiguration: optional(NullablePersonaConfiguration),
  personaMetadata: optional(NullableObject),
})

export const UpdatePersonaRequest = Named('UpdatePersonaRequest', {
  personaId: optional(NullableUuid),
  personaName: optional(NullableText(50)),
  personaDescription: optional(NullableText(500)),
  personaGreeting: optional(NullableText(500)),
  personaTags: optional(NullableText(2_000)),
  imageUrl: optional(NullableText(2_000)),
  personaText: optional(NullableText(MAX_TEXT)),
  dataspaceIds: optional(NullableUuids),
  personaConfiguration: optional(NullablePersonaConfiguration),
  personaMetadata: optional(NullableObject),
  model: optional(NullableText(200)),
  aiSystem: optional(NullableAiSystem),
  isActive: optional(NullableFlag),
  isApiEnabled: optional(NullableFlag),
  isSecret: optional(NullableFlag),
  defaultVersionId: optional(NullableUuid),
})

export const CreatePersonaVersionRequest = Named('CreatePersonaVersionRequest', {
  personaId: optional(NullableUuid),
  aiSystem: optional(NullableAiSystem),
  model: optional(Nullable<string>(Model)),
  personaText: optional(NullableText(MAX_TEXT)),
  personaGreeting: optional(NullableText(MAX_TEXT)),
  dataspaceIds: optional(NullableUuids),
  personaConfiguration: optional(NullablePersonaConfiguration),
  personaMetadata: optional(NullableObject),
  isActive: optional(NullableFlag),
})

export const UpdatePersonaVersionRequest = Named('UpdatePersonaVersionRequest', {
  personaId: optional(NullableUuid),
  personaVersionId: optional(NullableUuid),
  personaText: optional(NullableText(MAX_TEXT)),
  personaGreeting: optional(NullableText(MAX_TEXT)),
  dataspaceIds: optional(NullableUuids),
  personaConfiguration: optional(NullablePersonaConfiguration),
  personaMetadata: optional(NullableObject),
  isActive: optional(NullableFlag),
  aiSystem: optional(NullableAiSystem),
  model: optional(NullableText(200)),
})

const audit = {
  createdByFirstName: NullableText(),
  createdByLastName: NullableText(),
  modifiedByFirstName: NullableText(),
  modifiedByLastName: NullableText(),
}

export const PersonaVersionDto = Named('PersonaVersionDto', {
  personaVersionId: Uuid,
  personaId: Uuid,
  personaText: NullableText(),
  personaGreeting: NullableText(),
  aiSystem: NullableText(),
  model: NullableText(),
  personaConfiguration: NullableObject,
  personaMetadata: NullableObject,
  dataspaceIds: NullableUuids,
  isActive: Type.Boolean(),
  createdAt: NullableTimestamp,
  modifiedAt: NullableTimestamp,
  ...audit,
})

export const PersonaDto = Named('PersonaDto', {
  personaId: Uuid,
  personaName: NullableText(),
  personaDescription: NullableText(),
  personaTags: NullableText(),
  personaGreeting: NullableText(),
  personaText: NullableText(),
  personaConfiguration: NullableObject,
  personaMetadata: NullableObject,
  personaVersionId: NullableUuid,
  personaVersions: Type.Unsafe<unknown[] | null>({ type: ['array', 'null'], items: PersonaVersionDto }),
  defaultVersionId: Uuid,
  imageUrl: NullableText(),
  aiSystem: NullableText(),
  model: NullableText(),
  seed: NullableInteger,
  dataspaceIds: NullableUuids,
  isActive: Type.Boolean(),
  isApiEnabled: Type.Boolean(),
  isSecret: Type.Boolean(),
  isChattable: Type.Boolean(),
  isTool: Type.Boolean(),
  isChatbot: Type.Boolean(),
  ownedBy: Uuid,
  organizationId: Uuid,
  workspaceId: NullableUuid,
  workspaceName: NullableText(),
  isWorkspaceItem: Type.Boolean(),
  isOrganizationItem: Type.Boolean(),
  isGlobalItem: Type.Boolean(),
  isFavoriteItem: Type.Boolean(),
  isPrivatelyOwned: Type.Boolean(),
  isWorkspaceOwned: Type.Boolean(),
  isOrganizationOwned: Type.Boolean(),
  isHyperleapOwned: Type.Boolean(),
  isWorkspacePersona: Type.Boolean(),
  isOrganizationPersona: Type.Boolean(),
  isGlobalPersona: Type.Boolean(),
  isFavorite: Type.Boolean(),
  canRead: Type.Boolean(),
  canRun: Type.Boolean(),
  canUpdate: Type.Boolean(),
  canEnableApi: Type.Boolean(),
  canDelete: Type.Boolean(),
  canTransfer: Type.Boolean(),
  createdAt: Timestamp,
  modifiedAt: NullableTimestamp,
  ...audit,
  lastCreatedAt: NullableTimestamp,
  lastModifiedAt: NullableTimestamp,
  lastCreatedByFirstName: NullableText(),
  lastCreatedByLastName: NullableText(),
  lastModifiedByFirstName: NullableText(),
  lastModifiedByLastName: NullableText(),
  versionCreatedAt: NullableTimestamp,
  versionModifiedAt: NullableTimestamp,
  versionCreatedByFirstName: NullableText(),
  versionCreatedByLastName: NullableText(),
  versionModifiedByFirstName: NullableText(),
  versionModifiedByLastName: NullableText(),
  personaCreatedAt: NullableTimestamp,
  personaModifiedAt: NullableTimestamp,
  personaCreatedByFirstName: NullableText(),
  personaCreatedByLastName: NullableText(),
  personaModifiedByFirstName: NullableText(),
  personaModifiedByLastName: NullableText(),
})

/** A persona that is asked for by its id. */
export const WholePersonaDto = Named('WholePersonaDto', {
  ...PersonaDto.properties,
  variables: Type.Array(Type.String(), {
    description: 'What is a variable in `personaText` and `personaGreeting`, in order.',
  }),
})

export const PersonaResultSet = Named('PersonaResultSet', {
  data: Type.Array(PersonaDto),
  continuationToken: NullableText(),
})

export const MinimalPersonaDto = Named('MinimalPersonaDto', {
  personaId: Uuid,
  personaName: Type.String(),
  personaDescription: Type.String(),
  personaTags: NullableText(),
  imageUrl: NullableText(),
  defaultVersionId: Uuid,
  isActive: Type.Boolean(),
})

export const MinimalPersonaResultSet = Named('MinimalPersonaResultSet', {
  data: Type.Array(MinimalPersonaDto),
  continuationToken: NullableText(),
})
