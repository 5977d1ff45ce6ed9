import { createServer, type Socket } from 'node:net'
import { parseArgs } from 'node:util'
import { createHttpReader } from './wire/http-reader.ts'
import {
  type AtOnce,
  jsonResponse,
  MODEL_LIST,
  STREAM_WRITES,
  STREAMS_AT_ONCE,
  WHOLE_ANSWER,
} from './wire/openai-reply.ts'

/**
 * A provider with the Chat Completions API, in a process of its own: `node bench/provider.ts --port 9000 --token-delay 20`.
 * It writes prepared bytes, so that it is never what a benchmark measures. Started with an IPC channel it reports
 * `{ port }`, takes new delays as a message, and answers `{ ask: 'last' }` with what the last request was.
 */

type Pace = {
  /** Milliseconds before the first token. */
  firstTokenMs: number
  /** Milliseconds between tokens; 0 sends all of them at once. */
  tokenMs: number
}
type Message = Partial<Pace> & { ask?: 'last' }

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '0' },
    'first-token': { type: 'string', default: '0' },
    'token-delay': { type: 'string', default: '0' },
  },
})
const pace: Pace = { firstTokenMs: Number(values['first-token']), tokenMs: Number(values['token-delay']) }
const NOT_FOUND = jsonResponse(
  { error: { message: 'there is no such thing here', type: 'invalid_request_error' } },
  '404 Not Found',
)
const STREAMS = /"stream":\s*true/
let lastBody = ''
let answered = 0

const server = createServer({ noDelay: true }, serve)
server.listen(Number(values.port), '127.0.0.1', () => {
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  if (process.send) process.send({ port })
  else process.stdout.write(`a provider on http://127.0.0.1:${port}/v1\n`)
})

process.on('message', (message: Message) => {
  if (message.ask === 'last') {
    process.send?.({ messages: lastBody.split('"role":').length - 1, bytes: lastBody.length })
    return
  }
  Object.assign(pace, message)
})
// Whoever has started it is gone.
process.on('disconnect', () => process.exit(0))

function serve(socket: Socket): void {
  let request = ''
  let body: Buffer[] = []
  const reader = createHttpReader('request', {
    head: (head) => {
      request = head
      body = []
    },
    // Copied: the rest of what was read with it is not kept.
    body: (bytes, from, to) => void body.push(Buffer.from(bytes.subarray(from, to))),
    end: () => answer(socket, request, body.length === 1 ? (body[0] as Buffer) : Buffer.concat(body)),
  })
  socket.on('data', (bytes) => {
    try {
      reader.push(bytes)
    } catch {
      socket.destroy()
    }
  })
  socket.on('error', () => socket.destroy())
}

function answer(socket: Socket, head: string, body: Buffer): void {
  if (!head.startsWith('POST ')) {
    socket.write(/^GET \S*\/models[ ?]/.test(head) ? MODEL_LIST : NOT_FOUND)
    return
  }
  lastBody = body.toString('latin1')
  if (!STREAMS.test(lastBody)) socket.write(WHOLE_ANSWER)
  else if (pace.firstTokenMs > 0) setTimeout(stream, pace.firstTokenMs, socket)
  else stream(socket)
}

function stream(socket: Socket): void {
  if (pace.tokenMs > 0) {
    streamSlowly(socket, 0)
    return
  }
  const [first, rest] = STREAMS_AT_ONCE[answered++ % STREAMS_AT_ONCE.length] as AtOnce
  socket.write(first)
  socket.write(rest)
}

function streamSlowly(socket: Socket, n: number): void {
  if (socket.destroyed) return
  socket.write(STREAM_WRITES[n] as Buffer)
  if (n + 1 < STREAM_WRITES.length) setTimeout(streamSlowly, pace.tokenMs, socket, n + 1)
}
