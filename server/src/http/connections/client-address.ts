import { isIP } from 'node:net'
import type { FastifyRequest } from 'fastify'
import { type Networks, plainAddress } from '../../lib/networks.ts'

/** The address of whoever sends a request; null when the connection is gone. */
export type ClientOf = (request: FastifyRequest) => string | null

/**
 * Takes the address from the connection, or, if that comes from a trusted proxy, from `X-Forwarded-For`: the last address
 * in it that is not of such a proxy. What stands before that was written by the client itself, and could be anything.
 * `X-Forwarded-Host` and `X-Forwarded-Proto` are never read: a proxy that does not set them lets the client's pass.
 */
export function createClientOf(trustedProxies: Networks): ClientOf {
  return ({ raw }) => {
    const { remoteAddress } = raw.socket
    if (remoteAddress === undefined) return null
    let client = plainAddress(remoteAddress)
    if (!trustedProxies.has(client)) return client
    const forwarded = raw.headers['x-forwarded-for']
    const hops = forwarded === undefined ? [] : [forwarded].flat().join(',').split(',')
    for (const hop of hops.toReversed()) {
      const address = addressIn(hop.trim())
      // What is no address was not written by a proxy that can be relied on.
      if (address === null) return client
      client = address
      if (!trustedProxies.has(client)) return client
    }
    return client
  }
}

/** Some proxies write the port too: `192.0.2.1:4711`, `[2001:db8::1]:4711`. */
function addressIn(hop: string): string | null {
  const [, inBrackets, beforePort] = /^(?:\[([^\]]+)\](?::\d+)?|([\d.]+):\d+)$/.exec(hop) ?? []
  const address = plainAddress(inBrackets ?? beforePort ?? hop)
  return isIP(address) === 0 ? null : address
}
