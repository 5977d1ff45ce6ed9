import { ConfigError } from './config/config-error.ts'

/** Where the server was to listen. */
type Place = { host: string; port: number }

const MEANINGS: Readonly<Record<string, (place: Place) => string>> = {
  EADDRINUSE: ({ host, port }) =>
    `PORT ${port} of ${host} is taken by another program: stop that, or set PORT to another one, such as PORT=${port === 65_535 ? 8_787 : port + 1}.`,
  EACCES: ({ port }) => `PORT ${port} may not be used by this user: set PORT to one above 1023, such as PORT=8787.`,
  EADDRNOTAVAIL: ({ host }) =>
    `HOST ${host} is no address of this machine: set HOST to one of its own, or to 0.0.0.0 for all.`,
  ENOTFOUND: ({ host }) => `HOST ${host} is a name that cannot be found: set HOST to an address of this machine.`,
  EAI_AGAIN: ({ host }) =>
    `HOST ${host} is a name that cannot be looked up now: set HOST to an address of this machine.`,
}

/** A {@link ConfigError} that names the variable where it is to blame that the server cannot listen, else the error itself. */
export function explainListenError(error: unknown, place: Place): unknown {
  const { syscall, code } = (error ?? {}) as NodeJS.ErrnoException
  if (syscall !== 'listen' && syscall !== 'getaddrinfo') return error
  const explain = MEANINGS[code ?? '']
  return new ConfigError([
    explain?.(place) ?? `HOST ${place.host} and PORT ${place.port} cannot be listened at: ${code}.`,
  ])
}
