import type { Server, Socket } from 'node:net'
import { type Networks, networkOf, plainAddress } from '../../lib/networks.ts'

export type ConnectionLimits = {
  /** Connections that may be open at a time. */
  inAll: number
  /** Of one IPv4 address or one IPv6 network of 64 bits; 0 for no limit. */
  perAddress: number
  /** Those behind which many clients stand: they have no limit of their own. */
  trustedProxies: Networks
}

/**
 * Follows the connections of a server, so that they can be cut, and closes at once those that are too many. Node's own
 * `closeAllConnections()` does not know HTTP/2 and leaves alone a connection that has not said anything yet.
 */
export function trackConnections(
  server: Server,
  limits: ConnectionLimits,
  onRefused: (reason: 'connections' | 'connections_of_address') => void,
): { destroy(): void; count(): number } {
  const open = new Set<Socket>()
  const byAddress = new Map<string, number>()

  function leave(socket: Socket, address: string): void {
    open.delete(socket)
    const left = (byAddress.get(address) ?? 1) - 1
    if (left > 0) byAddress.set(address, left)
    else byAddress.delete(address)
  }

  server.on('connection', (socket: Socket) => {
    const address = networkOf(socket.remoteAddress ?? '')
    const before = byAddress.get(address) ?? 0
    const isLimited = limits.perAddress > 0 && !limits.trustedProxies.has(plainAddress(socket.remoteAddress ?? ''))
    const isFull = open.size >= limits.inAll
    if (isFull || (isLimited && before >= limits.perAddress)) {
      onRefused(isFull ? 'connections' : 'connections_of_address')
      socket.destroy()
      return
    }
    open.add(socket)
    byAddress.set(address, before + 1)
    socket.once('close', () => leave(socket, address))
  })
  return {
    destroy() {
      for (const socket of open) socket.destroy()
    },
    count: () => open.size,
  }
}
