/** A guide to a city, as it is made and given back: shown in the document, and sent to a server by a test. */
const PERSONA_ID = '0199b1c2-6f00-7000-8044-d5addfb01105'
const VERSION_ID = '0199b1c2-6f00-7001-a584-a48ba078f099'
const ORGANIZATION_ID = '0199b1a0-1000-7000-8000-000000000001'
const CREATED_AT = '2026-01-05T09:30:00.000Z'
const CONFIGURATION = {
  temperature: 0.7,
  variables: {
    city: {
      required: true,
    },
  },
}

export const CREATE_PERSONA_EXAMPLE = {
  personaName: 'Travel guide',
  personaDescription: 'Shows visitors around a city',
  personaText: 'You show visitors around {{city}}. Be brief.',
  personaGreeting: 'Welcome to {{city}}!',
  aiSystem: 'default',
  model: 'default',
  personaConfiguration: CONFIGURATION,
}

export const UPDATE_PERSONA_EXAMPLE = {
  personaDescription: 'Shows visitors around a city, on foot',
  personaTags: 'travel, cities',
}

export const CREATE_VERSION_EXAMPLE = {
  personaText: 'You show visitors around {{city}} by bicycle.',
  isActive: false,
}

export const UPDATE_VERSION_EXAMPLE = { isActive: true, personaMetadata: { reviewedBy: 'Ada' } }

const FIRST_VERSION = {
  personaVersionId: VERSION_ID,
  personaId: PERSONA_ID,
  personaText: 'You show visitors around {{city}}. Be brief.',
  personaGreeting: 'Welcome to {{city}}!',
  aiSystem: 'default',
  model: 'default',
  personaConfiguration: CONFIGURATION,
  personaMetadata: null,
  dataspaceIds: null,
  isActive: true,
  createdAt: CREATED_AT,
  modifiedAt: null,
  createdByFirstName: null,
  createdByLastName: null,
  modifiedByFirstName: null,
  modifiedByLastName: null,
}

export const VERSION_EXAMPLE = {
  personaVersionId: '0199b1c2-9000-7000-9f13-84f383088299',
  personaId: PERSONA_ID,
  personaText: 'You show visitors around {{city}} by bicycle.',
  personaGreeting: 'Welcome to {{city}}!',
  aiSystem: 'default',
  model: 'default',
  personaConfiguration: CONFIGURATION,
  personaMetadata: null,
  dataspaceIds: null,
  isActive: false,
  createdAt: CREATED_AT,
  modifiedAt: null,
  createdByFirstName: null,
  createdByLastName: null,
  modifiedByFirstName: null,
  modifiedByLastName: null,
}

export const PERSONA_EXAMPLE = {
  personaId: PERSONA_ID,
  personaName: 'Travel guide',
  personaDescription: 'Shows visitors around a city',
  personaTags: null,
  personaGreeting: 'Welcome to {{city}}!',
  personaText: 'You show visitors around {{city}}. Be brief.',
  personaConfiguration: CONFIGURATION,
  personaMetadata: null,
  personaVersionId: VERSION_ID,
  personaVersions: [FIRST_VERSION],
  defaultVersionId: VERSION_ID,
  imageUrl: null,
  aiSystem: 'default',
  model: 'default',
  seed: null,
  dataspaceIds: null,
  isActive: true,
  isApiEnabled: true,
  isSecret: false,
  isChattable: true,
  isTool: false,
  isChatbot: false,
  ownedBy: ORGANIZATION_ID,
  organizationId: ORGANIZATION_ID,
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
  canRun: true,
  canUpdate: true,
  canEnableApi: true,
  canDelete: true,
  canTransfer: false,
  createdAt: CREATED_AT,
  modifiedAt: null,
  createdByFirstName: null,
  createdByLastName: null,
  modifiedByFirstName: null,
  modifiedByLastName: null,
  lastCreatedAt: CREATED_AT,
  lastModifiedAt: null,
  lastCreatedByFirstName: null,
  lastCreatedByLastName: null,
  lastModifiedByFirstName: null,
  lastModifiedByLastName: null,
  versionCreatedAt: CREATED_AT,
  versionModifiedAt: null,
  versionCreatedByFirstName: null,
  versionCreatedByLastName: null,
  versionModifiedByFirstName: null,
  versionModifiedByLastName: null,
  personaCreatedAt: CREATED_AT,
  personaModifiedAt: null,
  personaCreatedByFirstName: null,
  personaCreatedByLastName: null,
  personaModifiedByFirstName: null,
  personaModifiedByLastName: null,
}

export const WHOLE_PERSONA_EXAMPLE = { ...PERSONA_EXAMPLE, variables: ['city'] }

export const PERSONAS_EXAMPLE = { data: [{ ...PERSONA_EXAMPLE, personaVersions: null }], continuationToken: null }

export const MINIMAL_PERSONAS_EXAMPLE = {
  data: [
    {
      personaId: PERSONA_ID,
      personaName: 'Travel guide',
      personaDescription: 'Shows visitors around a city',
      personaTags: null,
      imageUrl: null,
      defaultVersionId: VERSION_ID,
      isActive: true,
    },
  ],
  continuationToken: null,
}
