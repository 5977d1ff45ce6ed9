import { createServer } from 'node:net'
import { STREAM_WRITES } from './wire/openai-reply.ts'

/** Writes a whole reply for whatever it reads. It has no use but to show how fast the load generator can be. */
const REPLY = Buffer.concat(STREAM_WRITES)

const server = createServer({ noDelay: true }, (socket) => {
  socket.on('data', () => socket.write(REPLY))
  socket.on('error', () => socket.destroy())
})
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  process.send?.(typeof address === 'object' ? address?.port : 0)
})
process.on('disconnect', () => process.exit(0))
