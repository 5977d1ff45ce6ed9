/** Where the parts of the server say what happened: what is known of it, and a sentence. */
export type Log = {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}
