import type { FastifyRequest } from 'fastify'

/** The address under which whoever sends a request reaches this server, without a slash at the end. */
export type AddressOf = (request: Pick<FastifyRequest, 'protocol' | 'host'>) => string

/**
 * Takes the address from the request, unless `publicUrl` says it: behind a proxy that ends TLS or changes the host, the
 * request does not know it.
 */
export function createAddressOf(publicUrl: string | null): AddressOf {
  // Only HTTP/1.0 has requests without a host.
  return ({ protocol, host }) => publicUrl ?? `${protocol}://${host || 'localhost'}`
}
