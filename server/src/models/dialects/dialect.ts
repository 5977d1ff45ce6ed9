/** How one model wants to be asked, as far as that differs from what the protocol says; names are those of the wire. */
export type Dialect = {
  /** Parameters that it does not take. */
  without: readonly string[]
  /** Parameters that it takes by another name. */
  renamed: Readonly<Record<string, string>>
  /** It does not know the role `developer`. */
  noDeveloper: boolean
}

/** Under this header a dialect comes to what sends a request, which takes it away. */
export const DIALECT_HEADER = 'x-dramatis-dialect'

/** Writes a request's parameters as a model wants them. `body` is changed. */
export function writeInDialect(body: Record<string, unknown>, { without, renamed, noDeveloper }: Dialect): void {
  for (const [name, other] of Object.entries(renamed)) {
    if (body[name] === undefined) continue
    body[other] = body[name]
    delete body[name]
  }
  for (const name of without) delete body[name]
  if (!noDeveloper || !Array.isArray(body['messages'])) return
  for (const message of body['messages']) if (message?.role === 'developer') message.role = 'system'
}
