import type { RawStream } from './raw-stream.ts'

/** One server-sent event, https://html.spec.whatwg.org/multipage/server-sent-events.html. `data` must be one line. */
export function sseEvent(data: string, fields: { id?: string; event?: string } = {}): string {
  const id = fields.id === undefined ? '' : `id: ${fields.id}\n`
  const event = fields.event === undefined ? '' : `event: ${fields.event}\n`
  return `${id}${event}data: ${data}\n\n`
}

/** Milliseconds of silence after which a comment is sent, so that proxies do not take the connection for dead. */
export const PING_AFTER_MS = 14_000

export type Pinger = { wrote(): void; stop(): void }

/** Sends `: ping` whenever nothing has been written for a while. One timer for the stream and not one for each item. */
export function pingWhileQuiet(stream: RawStream, clock: () => number, afterMs = PING_AFTER_MS): Pinger {
  let lastWrite = clock()
  let timer = setTimeout(check, afterMs)

  function check(): void {
    const silentFor = clock() - lastWrite
    if (silentFor >= afterMs) {
      stream.write(': ping\n\n')
      lastWrite = clock()
    }
    timer = setTimeout(check, Math.max(1, afterMs - (clock() - lastWrite)))
  }

  return {
    wrote: () => {
      lastWrite = clock()
    },
    stop: () => clearTimeout(timer),
  }
}
