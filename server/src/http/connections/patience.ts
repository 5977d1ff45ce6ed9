/** How long the server waits for the other side of a connection. */
export type Patience = Readonly<{
  /** Milliseconds for a TLS handshake. */
  handshakeMs: number
  /** Milliseconds for the whole head of a request, the first one counted from the opening of the connection. */
  headMs: number
  /** Milliseconds for a body; each byte of it that has come gives more, at the rate below. */
  bodyMs: number
  /** Bytes a second: a body that comes more slowly, once its first time is over, is given up. */
  bodyBytesPerSecond: number
  /** Milliseconds that a connection is kept on which nothing is asked; over HTTP/2, one without streams. */
  idleMs: number
  /** Milliseconds that a refused client has to read its answer and hang up. */
  lingerMs: number
  /** Milliseconds for which a reader may take nothing of what waits for it. */
  unreadMs: number
  /** Milliseconds between two looks at all of these. */
  lookEveryMs: number
}>

/** The reasons for the numbers are in `docs/decisions/0022-connections.md`. */
export const PATIENCE: Patience = {
  handshakeMs: 10_000,
  headMs: 30_000,
  bodyMs: 15_000,
  bodyBytesPerSecond: 4_000,
  // More than the minute after which load balancers give a connection up: whoever closes it last loses no request.
  idleMs: 72_000,
  lingerMs: 5_000,
  unreadMs: 300_000,
  lookEveryMs: 5_000,
}
