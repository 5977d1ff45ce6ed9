import { type LookupAddress, lookup as systemLookup } from 'node:dns'
import { isIP, type LookupFunction } from 'node:net'
import type { Dispatcher } from 'undici'
import { Agent, buildConnector } from '../lib/undici.ts'
import { isPublicAddress } from './addresses.ts'

/** A connection that may not be made. The message is for callers: it does not say what is inside. */
export class ForbiddenAddress extends Error {
  /** For the log. */
  readonly host: string

  constructor(host: string) {
    super('it has a private address, which may not be reached unless DRAMATIS_ALLOW_PRIVATE_HOSTS names the host')
    this.name = 'ForbiddenAddress'
    this.host = host
  }
}

type Lookup = (
  host: string,
  options: { all: true },
  done: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void

export type GuardOptions = {
  /** Hosts that may have any address, as they stand in a URL. */
  allowedHosts: readonly string[]
  /** Finds the addresses of a name; the system's by default. */
  lookup?: Lookup
}

/**
 * Connections to the public internet only. It is the address that is connected to which is checked, after the name was
 * looked up, so a name that changes its mind gains nothing; and every connection is, so a redirect is too.
 */
export function createGuardedAgent(options: GuardOptions): Dispatcher {
  const { allowedHosts, lookup = systemLookup as Lookup } = options
  const allowed = new Set(allowedHosts.map(bareHost))
  const timeouts = { timeout: 10_000 }
  const connectAnywhere = buildConnector(timeouts)
  const connectGuarded = buildConnector({ ...timeouts, lookup: guard(lookup) })

  return new Agent({
    // One request at a time on a connection: it must be clear whether a request was made.
    allowH2: false,
    pipelining: 1,
    keepAliveTimeout: 4_000,
    connect(target, done) {
      const host = bareHost(target.hostname)
      if (allowed.has(host)) connectAnywhere(target, done)
      // A literal address is connected to without being looked up.
      else if (isIP(host) !== 0 && !isPublicAddress(host)) done(new ForbiddenAddress(host), null)
      else connectGuarded(target, done)
    },
  })
}

function guard(lookup: Lookup): LookupFunction {
  return (host, options, done) => {
    lookup(host, { ...options, all: true }, (error, addresses) => {
      const open = error ? [] : addresses.filter(({ address }) => isPublicAddress(address))
      const [first] = open
      if (error) done(error, '', 0)
      else if (!first) done(new ForbiddenAddress(host), '', 0)
      else if (options.all) done(null, open)
      else done(null, first.address, first.family)
    })
  }
}

/** As a URL writes it, without the brackets of an IPv6 address. */
function bareHost(host: string): string {
  return host.toLowerCase().replace(/^\[(.*)\]$/, '$1')
}

/** The forbidden address behind an error, if there is one. */
export function forbiddenIn(error: unknown): ForbiddenAddress | null {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (cause instanceof ForbiddenAddress) return cause
    if (cause instanceof AggregateError) return forbiddenIn(cause.errors[0])
  }
  return null
}
