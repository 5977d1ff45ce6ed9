/** Why a connection failed, in the words of whatever lies at the bottom of the error. */
export function reasonOf(error: unknown): string {
  const cause = error instanceof Error ? (error.cause ?? error) : error
  // A host with several addresses fails once for each, and the error around them has no words.
  const first = cause instanceof AggregateError ? cause.errors[0] : cause
  if (!(first instanceof Error)) return String(first)
  return first.message || String((first as NodeJS.ErrnoException).code ?? first.name)
}
