import type { Server, Socket } from 'node:net'

/**
 * Follows the connections of a server, so that they can be cut. Node's own `closeAllConnections()` does not know HTTP/2
 * and leaves alone a connection that has not said anything yet.
 */
export function trackConnections(server: Server): { destroy(): void } {
  const open = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
  })
  return {
    destroy() {
      for (const socket of open) socket.destroy()
    },
  }
}
