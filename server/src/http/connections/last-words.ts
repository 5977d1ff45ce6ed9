import type { Socket } from 'node:net'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { streamOf } from './unread-bodies.ts'

export type LastWords = ReturnType<typeof createLastWords>

/** Knows the connections on which the server says nothing more, so that what has come behind it is not looked at. */
export function createLastWords() {
  const said = new WeakSet<Socket>()

  return {
    /** Call it before a refusal is sent that is the last word on its connection. */
    hangUpBehind({ raw }: FastifyRequest, reply: FastifyReply): void {
      const stream = streamOf(raw)
      // Streams that are open go on to their ends.
      if (stream) stream.session?.close()
      else {
        said.add(raw.socket)
        reply.header('connection', 'close')
      }
    },

    /** Whether a request came behind the last word, so that it must not be carried out. */
    isBehind({ raw }: FastifyRequest): boolean {
      return streamOf(raw) === undefined && (raw.socket.writableEnded || said.has(raw.socket))
    },
  }
}
