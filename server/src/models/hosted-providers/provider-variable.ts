/** One variable of a provider, as the table of the docs shows it. */
export type ProviderVariable<Name extends string = string> = {
  name: Name
  meaning: string
  /** What it is when it is not set; null when there is nothing then. */
  default: string | null
  /** Its value must never be shown. */
  isSecret: boolean
}

export function plain<const Name extends string>(
  name: Name,
  meaning: string,
  fallback: string | null = null,
): ProviderVariable<Name> {
  return { name, meaning, default: fallback, isSecret: false }
}

export function secret<const Name extends string>(name: Name, meaning: string): ProviderVariable<Name> {
  return { name, meaning, default: null, isSecret: true }
}

/** Reads the variables of one provider. White space around a value is dropped; an empty one counts as unset. */
export type VariableReader<Name extends string = string> = {
  get(name: Name): string | null
  /** A URL without slash at its end, credentials and query. Throws an Error that names the variable. */
  url(name: Name): string | null
  /** The same, and when it is not set what the table says it is then. */
  urlOrDefault(name: Name): string
}
