import type { JsonObject } from '../../lib/json.ts'

/** What makes a version; it never changes once the version exists. */
export type VersionContent = {
  text: string | null
  greeting: string | null
  aiSystem: string
  model: string
  configuration: JsonObject | null
}

export type PersonaVersion = VersionContent & {
  id: string
  personaId: string
  metadata: JsonObject | null
  dataspaceIds: string[] | null
  isActive: boolean
  createdAt: number
  modifiedAt: number | null
}

export type PersonaFlags = {
  isActive: boolean
  isApiEnabled: boolean
  isSecret: boolean
  isChattable: boolean
  isTool: boolean
  isChatbot: boolean
}

export type Persona = PersonaFlags & {
  id: string
  organizationId: string
  name: string
  description: string
  tags: string | null
  imageUrl: string | null
  metadata: JsonObject | null
  defaultVersionId: string
  /** How often it has been changed. */
  revision: number
  createdAt: number
  modifiedAt: number | null
}

/** A persona with one of its versions: the default one, where nothing else is said. */
export type PersonaAndVersion = { persona: Persona; version: PersonaVersion }

/** What a list of names shows of a persona. */
export type BriefPersona = Pick<
  Persona,
  'id' | 'name' | 'description' | 'tags' | 'imageUrl' | 'defaultVersionId' | 'isActive'
>
