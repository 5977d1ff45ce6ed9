import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'
import type { JSONRPCMessage } from '@modelcontextprotocol/sdk/types.js'
import { parseExactly } from '../../../lib/exact-json.ts'
import { isJsonObject } from '../../../lib/json.ts'
import { AnswerTooLarge } from '../../../net/bounded-fetch.ts'

export type EventsOptions = {
  url: string
  headers: Record<string, string>
  /** For the stream, whose length only this transport bounds, and for what is sent. */
  fetch: { stream: typeof globalThis.fetch; send: typeof globalThis.fetch }
  mostBytesOfMessage: number
  /** Ends the wait for the beginning of the stream. */
  signal: AbortSignal
}

/** A status that is no success; named as the SDK does it. */
class EventsError extends Error {
  readonly code: number

  constructor(code: number, body: string) {
    super(`Error POSTing to endpoint: ${body}`)
    this.name = 'EventsError'
    this.code = code
  }
}

/**
 * The older transport of MCP (https://modelcontextprotocol.io/specification/2024-11-05/basic/transports#http-with-sse): a
 * stream of events, whose first one says where messages are to be sent. In the place of the SDK's, because a message must
 * have an end, and a stream that ends must not be begun again by itself.
 */
export function createEventsTransport(options: EventsOptions): Transport {
  const { url, headers, fetch, mostBytesOfMessage, signal } = options
  const life = new AbortController()
  const { promise: endpoint, resolve: setEndpoint, reject: failEndpoint } = Promise.withResolvers<URL>()
  endpoint.catch(() => {})

  function take(event: string, data: string): void {
    if (event === 'endpoint') {
      const found = new URL(data, url)
      if (found.origin === new URL(url).origin) setEndpoint(found)
      else failEndpoint(new Error('its events lead to another host'))
    } else if (event === 'message') {
      const message = parse(data)
      if (message) transport.onmessage?.(message)
    }
  }

  async function read(body: ReadableStream<Uint8Array>): Promise<void> {
    const reader = createEventReader(mostBytesOfMessage, take)
    for await (const piece of body.pipeThrough(new TextDecoderStream())) reader(piece)
  }

  const end = (error: Error) => {
    failEndpoint(error)
    if (life.signal.aborted) return
    transport.onerror?.(error)
    void transport.close()
  }

  async function begin(): Promise<void> {
    const answer = await fetch.stream(url, {
      headers: { ...headers, accept: 'text/event-stream' },
      signal: life.signal,
    })
    const isStream = /^text\/event-stream\b/i.test(answer.headers.get('content-type') ?? '')
    if (!answer.ok || !isStream || !answer.body) {
      await answer.body?.cancel()
      throw new EventsError(answer.status, '')
    }
    read(answer.body).then(() => end(new Error('the connection has ended')), end)
    await endpoint
  }

  const transport: Transport = {
    async start() {
      const giveUp = () => void transport.close()
      signal.addEventListener('abort', giveUp, { once: true })
      try {
        signal.throwIfAborted()
        await begin()
      } finally {
        signal.removeEventListener('abort', giveUp)
      }
    },
    async send(message) {
      const answer = await fetch.send(await endpoint, {
        method: 'POST',
        headers: { ...headers, 'content-type': 'application/json' },
        body: JSON.stringify(message),
        signal: life.signal,
      })
      const body = await answer.text()
      if (!answer.ok) throw new EventsError(answer.status, body)
    },
    async close() {
      if (life.signal.aborted) return
      life.abort()
      failEndpoint(new Error('the connection has ended'))
      transport.onclose?.()
    },
  }
  return transport
}

/** Takes the text of a stream of events in pieces. Throws when one event is too long. */
function createEventReader(most: number, take: (event: string, data: string) => void): (text: string) => void {
  let rest = ''
  let event = 'message'
  let data: string[] = []
  let length = 0
  return (text) => {
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    for (const ended of lines) {
      const line = ended.endsWith('\r') ? ended.slice(0, -1) : ended
      length += line.length
      if (line === '') {
        if (data.length > 0) take(event, data.join('\n'))
        event = 'message'
        data = []
        length = 0
      } else {
        const [, field = '', value = ''] = /^([^:]*):? ?(.*)$/.exec(line) ?? []
        if (field === 'event') event = value
        else if (field === 'data') data.push(value)
      }
      if (length > most) throw new AnswerTooLarge(most)
    }
    if (length + rest.length > most) throw new AnswerTooLarge(most)
  }
}

function parse(data: string): JSONRPCMessage | null {
  try {
    const value: unknown = parseExactly(data)
    return isJsonObject(value) && value['jsonrpc'] === '2.0' ? (value as unknown as JSONRPCMessage) : null
  } catch {
    return null
  }
}
