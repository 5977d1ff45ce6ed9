import type { FileKind } from '../model-file.ts'

/** There is more than the model can see. Tokens, as the provider counts them; null where it does not say. */
export type WindowRefusal = { about: 'window'; most: number | null; sent: number | null }

/** What a provider refuses of a request, as far as its words say so: what has to be different in the next one. */
export type Refusal =
  | WindowRefusal
  /** The reply may not be that long. */
  | { about: 'reply'; most: number }
  /** A parameter that it does not take, or not beside another; `instead` is the spelling that it wants. */
  | { about: 'parameter'; names: readonly string[]; instead: string | null }
  | { about: 'schema' }
  | { about: 'file'; kind: FileKind | null }
  /** The order of roles, or one of them. */
  | { about: 'order' }
  | { about: 'developer role' }
  | { about: 'system role' }
  /** A filter has stopped what somebody has said. */
  | { about: 'content' }
  /** It refuses something of the request and does not say what. */
  | { about: 'something' }
