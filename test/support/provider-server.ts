import { readFileSync } from 'node:fs'
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setImmediate as nextTurnOfTheLoop, setTimeout as wait } from 'node:timers/promises'

/** A piece of a body: bytes, a pause in milliseconds, or something to wait for. Each one of bytes is a write of its own. */
export type Piece = string | Uint8Array | { waitMs: number } | { until: Promise<unknown> }

/** How the provider behaves when it gets a request. */
export type Behaviour = {
  /** 200 by default. */
  status?: number
  headers?: Record<string, string>
  /** The body; by default none. */
  pieces?: readonly Piece[]
  /** After the pieces: a proper end (the default), a cut connection, or silence. */
  ending?: 'end' | 'cut' | 'hang'
  /** Not even the headers are sent before this is over. */
  before?: Promise<unknown>
  /** Never answers at all. */
  isSilent?: boolean
  /** Told of each piece of bytes that was written. */
  wrote?(piece: string | Uint8Array): void
}

/** One request as it came in. */
export type ProviderRequest = {
  method: string
  /** With the query. */
  path: string
  headers: IncomingHttpHeaders
  /** The parsed JSON; a string when it is none. */
  body: unknown
  /** Settles when the exchange is over: true when it was the client that closed the connection before our end. */
  closedByClient: Promise<boolean>
}

export type ProviderServer = {
  /** `http://127.0.0.1:<port>`; what stands for a base URL of a provider is this with its path, such as `/v1`. */
  url: string
  /** In the order in which they came. */
  requests: ProviderRequest[]
  /**
   * The next requests get these, each one, in order; then the usual behaviour is back. With `path`, only requests whose
   * path begins with it.
   */
  script(behaviours: readonly Behaviour[], path?: string): void
  /** From now on every request gets this, except those with a script; null is the usual behaviour again. */
  always(behaviour: Behaviour | ((request: Pick<ProviderRequest, 'path' | 'body'>) => Behaviour) | null): void
  close(): Promise<void>
}

/** What each protocol's path answers when nothing is scripted: a reply of a real service's shape. */
const USUAL: readonly [RegExp, string][] = [
  [/^\/(?:openai\/)?(?:v1|deployments\/[^/]+)\/chat\/completions/, 'chat-completions/reply.sse'],
  [/^\/v1\/messages/, 'anthropic/reply.sse'],
  [/:streamGenerateContent/, 'gemini/reply.sse'],
  [/^\/v2\/chat/, 'cohere/reply.sse'],
  [/^\/model\/[^/]+\/converse-stream/, 'bedrock/reply.eventstream'],
  [/^\/v1\/models/, 'chat-completions/models.json'],
  [/^\/api\/tags/, 'ollama/tags.json'],
]

const TYPES: Readonly<Record<string, string>> = {
  '.sse': 'text/event-stream',
  '.eventstream': 'application/vnd.amazon.eventstream',
}

/** A reply from `fixtures/`. `chunkBytes` cuts it into writes of that many bytes, through characters too. */
export function fixtureReply(name: string, options: Behaviour & { chunkBytes?: number } = {}): Behaviour {
  const { chunkBytes, ...behaviour } = options
  const bytes = readFixture(name)
  const type = TYPES[name.slice(name.lastIndexOf('.'))] ?? 'application/json'
  return {
    pieces: chunkBytes === undefined ? [bytes] : cut(bytes, chunkBytes),
    ...behaviour,
    headers: { 'content-type': type, ...behaviour.headers },
  }
}

/** The bytes of a file in `fixtures/`. */
export function readFixture(name: string): Buffer {
  return readFileSync(new URL(`./fixtures/${name}`, import.meta.url))
}

export type ChatReplyOptions = {
  /** Milliseconds before each token. */
  delayMs?: number
  finishReason?: string | null
  usage?: { prompt_tokens: number; completion_tokens: number } | null
  ending?: Behaviour['ending']
}

/** A Chat Completions stream with these tokens, one write each. */
export function chatReply(tokens: readonly string[], options: ChatReplyOptions = {}): Behaviour {
  const { delayMs = 0, finishReason = 'stop', usage = { prompt_tokens: 7, completion_tokens: tokens.length } } = options
  const pieces: Piece[] = [chatChunk([{ index: 0, delta: { role: 'assistant', content: '' }, finish_reason: null }])]
  for (const content of tokens) {
    if (delayMs > 0) pieces.push({ waitMs: delayMs })
    pieces.push(chatChunk([{ index: 0, delta: { content }, finish_reason: null }]))
  }
  if (finishReason !== null) {
    pieces.push(chatChunk([{ index: 0, delta: {}, finish_reason: finishReason }]))
    if (usage !== null) pieces.push(chatChunk([], { usage }))
    pieces.push('data: [DONE]\n\n')
  }
  return { headers: { 'content-type': 'text/event-stream' }, pieces, ending: options.ending ?? 'end' }
}

/** One event of a Chat Completions stream. */
export function chatChunk(choices: readonly object[], more: object = {}): string {
  const chunk = { id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1763912345, model: 'm', choices, ...more }
  return `data: ${JSON.stringify(chunk)}\n\n`
}

/** A provider on a free port of 127.0.0.1 that answers as it is told and remembers what it was asked. */
export async function startProviderServer(): Promise<ProviderServer> {
  const requests: ProviderRequest[] = []
  const scripts: { path: string; behaviours: Behaviour[] }[] = []
  let standing: Parameters<ProviderServer['always']>[0] = null
  const server = createServer((request, response) => void answer(request, response))

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // A client that goes away in the middle of a write is what some tests are about.
    response.on('error', () => {})
    const body = await readBody(request)
    const path = request.url ?? '/'
    const chosen = typeof standing === 'function' ? standing({ path, body }) : standing
    const behaviour = takeScripted(path) ?? chosen ?? usual(path)
    const closedByClient = new Promise<boolean>((resolve) => {
      response.on('close', () => resolve(!response.writableFinished && behaviour.ending !== 'cut'))
    })
    requests.push({ method: request.method ?? '', path, headers: request.headers, body, closedByClient })
    await perform(behaviour, response)
  }

  function takeScripted(path: string): Behaviour | undefined {
    const script = scripts.find((entry) => path.startsWith(entry.path) && entry.behaviours.length > 0)
    return script?.behaviours.shift()
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    script: (behaviours, path = '/') => void scripts.push({ path, behaviours: [...behaviours] }),
    always: (behaviour) => {
      standing = behaviour
    },
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      server.closeAllConnections()
      await closed
    },
  }
}

function usual(path: string): Behaviour {
  const found = USUAL.find(([pattern]) => pattern.test(path))
  return found === undefined ? { status: 404, pieces: ['not found'] } : fixtureReply(found[1])
}

async function perform(behaviour: Behaviour, response: ServerResponse): Promise<void> {
  await behaviour.before
  if (behaviour.isSilent) return
  response.writeHead(behaviour.status ?? 200, behaviour.headers)
  response.flushHeaders()
  for (const piece of behaviour.pieces ?? []) {
    if (response.destroyed) return
    if (typeof piece === 'string' || piece instanceof Uint8Array) {
      response.write(piece)
      behaviour.wrote?.(piece)
      // Otherwise the client would get several of them in one read.
      await nextTurnOfTheLoop()
    } else if ('waitMs' in piece) await wait(piece.waitMs)
    else await piece.until
  }
  if (behaviour.ending === 'hang') return
  if (behaviour.ending === 'cut') response.destroy()
  else response.end()
}

function cut(bytes: Buffer, size: number): Buffer[] {
  const pieces: Buffer[] = []
  for (let at = 0; at < bytes.length; at += size) pieces.push(bytes.subarray(at, at + size))
  return pieces
}

async function readBody(request: IncomingMessage): Promise<unknown> {
  const pieces: Buffer[] = []
  for await (const piece of request) pieces.push(piece as Buffer)
  const text = Buffer.concat(pieces).toString('utf8')
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
