import type { Dispatcher } from 'undici'
import {
  abortedError,
  type ErrorSource,
  errorFromBody,
  errorFromNetwork,
  errorFromResponse,
  errorFromStream,
} from '../errors/provider-errors.ts'
import type { Model, ModelRequest, ModelResult } from '../model.ts'
import { NoAnswerError } from '../replies/finish-reasons.ts'
import { silenceAfterFinish } from '../settings.ts'
import { createDecoder, type Decoder } from './content-decoder.ts'
import { createReplyReader, ReplyError, type ReplyListener } from './reply-reader.ts'
import { createBodyWriter } from './request-body.ts'
import { createSseParser, EventTooLongError, MAX_EVENT_BYTES } from './sse-parser.ts'

/** Bytes of an error's body that are read. */
const MAX_ERROR_BYTES = 64 * 1024

/** Bytes of a whole reply: what is said is stored, and must not fill the disk. */
const MAX_REPLY_BYTES = 32 * 1024 * 1024

/** `{`, `[` and `<`. */
const FORM_OF_FIRST: ReadonlyMap<number, 'body' | 'error'> = new Map([
  [0x7b, 'body'],
  [0x5b, 'body'],
  [0x3c, 'error'],
])

/** Milliseconds of silence; longer than any timeout that can be set, so that only a forgotten connection gets there. */
const MAX_SILENCE_MS = 660_000

export type ChatCompletionsOptions = ErrorSource & {
  /** Up to the version, such as `http://127.0.0.1:8000/v1`. */
  baseUrl: string
  apiKey: string | null
  model: string
  /** Keeps the connections. */
  dispatcher: Dispatcher
}

/**
 * A model behind the Chat Completions protocol (https://platform.openai.com/docs/api-reference/chat), as vLLM, LM
 * Studio, OpenRouter, Ollama and many others speak it. Written on the dispatcher itself: bytes are parsed where they
 * arrive, without a stream, a promise or a copy per token.
 */
export function createChatCompletionsModel(options: ChatCompletionsOptions): Model {
  const { origin, pathname } = new URL(options.baseUrl)
  const path = `${pathname.replace(/(?<!\/)\/+$/, '')}/chat/completions`
  const headers = {
    'content-type': 'application/json',
    accept: 'text/event-stream',
    'user-agent': 'dramatis',
    ...(options.apiKey === null ? {} : { authorization: `Bearer ${options.apiKey}` }),
  }
  const bodies = createBodyWriter(options)
  return {
    aiSystem: options.aiSystem,
    model: options.model,
    prepare: bodies.prepare,
    generate: (request, onText, onActivity, onThought) =>
      new Promise((resolve, reject) => {
        const call = startCall(options, request, { onText, onActivity, onThought }, resolve, reject)
        if (request.signal.aborted) return
        const body = bodies.write(request)
        const timeouts = { headersTimeout: MAX_SILENCE_MS, bodyTimeout: MAX_SILENCE_MS }
        try {
          options.dispatcher.dispatch({ origin, path, method: 'POST', headers, body, ...timeouts }, call)
        } catch (error) {
          call.onResponseError(null, error)
        }
      }),
  }
}

/** One exchange: what the dispatcher calls while it goes on. Settles once, and closes the connection when it fails. */
function startCall(
  source: ChatCompletionsOptions,
  request: ModelRequest,
  listener: ReplyListener,
  resolve: (result: ModelResult) => void,
  reject: (error: unknown) => void,
) {
  const { signal, settings } = request
  const named = { aiSystem: source.aiSystem, model: source.model }
  let controller: Dispatcher.DispatchController | null = null
  let isSettled = false
  let status = 0
  let headers: Record<string, string | string[] | undefined> = {}
  /** Undecided until the first letter or sign: an object or a list is a body, a tag begins a web page, everything else a stream. */
  let form: 'undecided' | 'stream' | 'body' | 'error' = 'undecided'
  let body: Buffer[] = []
  let replyBytes = 0
  let bodyBytes = 0
  let decoder: Decoder | null = null
  let lastWait: NodeJS.Timeout | undefined
  const reader = createReplyReader(
    {
      onText: (text) => {
        if (!isSettled) listener.onText(text)
      },
      onActivity: () => {
        if (!isSettled) listener.onActivity?.()
      },
      onThought: (text) => {
        if (!isSettled) listener.onThought?.(text)
      },
    },
    request,
    source.aiSystem,
  )
  const parser = createSseParser({
    takeWhole: (stream, at) => (isSettled ? -1 : reader.takeText(stream, at)),
    onEvent: (data, event) => {
      if (!isSettled && reader.takeEvent(data, event)) finish()
    },
  })
  signal.addEventListener('abort', onAbort, { once: true })
  if (signal.aborted) onAbort()

  function settle(): boolean {
    if (isSettled) return false
    isSettled = true
    signal.removeEventListener('abort', onAbort)
    clearTimeout(lastWait)
    return true
  }

  function finish(): void {
    const { members, ...result } = reader.result()
    if (settle()) resolve(members ? { ...result, thoughts: { ...named, members } } : result)
  }

  /** What still comes behind the finish reason is waited for, but not for long, and nobody has to end politely. */
  function awaitRest(): void {
    clearTimeout(lastWait)
    lastWait = setTimeout(() => {
      attempt(finish)
      controller?.abort(new Error('finished'))
      decoder?.destroy()
    }, silenceAfterFinish(settings.timeouts))
  }

  function fail(error: unknown): void {
    if (!settle()) return
    reject(error)
    controller?.abort(error instanceof Error ? error : new Error('failed'))
    decoder?.destroy()
  }

  function onAbort(): void {
    fail(abortedError(source, signal.reason))
  }

  /** Runs a step that reads what the provider sent, and turns what it throws into the call's failure. */
  function attempt(step: () => void): void {
    try {
      step()
    } catch (error) {
      fail(readingError(source, error, form === 'body'))
    }
  }

  function takeBytes(chunk: Buffer): void {
    replyBytes += chunk.length
    if (replyBytes > MAX_REPLY_BYTES) throw new EventTooLongError(MAX_REPLY_BYTES)
    if (form === 'undecided') {
      // Not even a byte order mark.
      const first = chunk.find((byte) => byte > 32 && byte < 128)
      if (first !== undefined) form = FORM_OF_FIRST.get(first) ?? 'stream'
    }
    if (form === 'stream') {
      parser.push(chunk)
      if (!isSettled && reader.hasFinished()) awaitRest()
      return
    }
    bodyBytes += chunk.length
    if (form === 'error' && bodyBytes > MAX_ERROR_BYTES) failWithResponse()
    else if (bodyBytes > MAX_EVENT_BYTES) throw new EventTooLongError(MAX_EVENT_BYTES)
    else body.push(chunk)
  }

  function failWithResponse(): void {
    fail(errorFromResponse(source, { status, headers, body: Buffer.concat(body).toString('utf8') }))
    body = []
  }

  function takeEnd(): void {
    if (form === 'error') {
      failWithResponse()
      return
    }
    if (form === 'body') reader.takeBody(Buffer.concat(body).toString('utf8'))
    else parser.end()
    if (!isSettled) finish()
  }

  function takeNetworkError(error: unknown): void {
    // The reply was complete: what is missing is only the polite end.
    if (reader.hasFinished()) attempt(finish)
    else if (form === 'error') failWithResponse()
    else fail(errorFromNetwork(source, error, status !== 0))
  }

  /** For an answer that is packed although nobody has asked for it, as some gateways do. */
  function decoderFor(encoding: string | string[] | undefined): Decoder | null {
    return createDecoder(encoding, {
      onData: (chunk) => {
        if (!isSettled) attempt(() => takeBytes(chunk))
      },
      onEnd: () => {
        if (!isSettled) attempt(takeEnd)
      },
      onError: (error) => {
        if (isSettled) return
        if (reader.hasFinished() || form === 'error') takeNetworkError(error)
        else fail(errorFromStream(source, 'sent something that cannot be unpacked', '', error))
      },
    })
  }

  return {
    onRequestStart(started: Dispatcher.DispatchController) {
      controller = started
      // It was given up while it waited for a connection.
      if (isSettled) started.abort(new Error('aborted'))
    },
    onResponseStart(
      response: Dispatcher.DispatchController,
      statusCode: number,
      responseHeaders: Record<string, string | string[] | undefined>,
    ) {
      // 1xx: the answer proper comes later.
      if (statusCode < 200) return
      status = statusCode
      // They are slices of what was read: 3.6 kB that would stay in memory for as long as the reply goes on.
      response.rawHeaders = null
      decoder = decoderFor(responseHeaders['content-encoding'])
      if (statusCode < 300) return
      form = 'error'
      headers = responseHeaders
    },
    onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer) {
      if (isSettled) return
      if (decoder === null) attempt(() => takeBytes(chunk))
      else decoder.write(chunk)
    },
    onResponseEnd() {
      if (isSettled) return
      if (decoder === null) attempt(takeEnd)
      else decoder.end()
    },
    onResponseError(_controller: Dispatcher.DispatchController | null, error: unknown) {
      if (isSettled) return
      decoder?.destroy()
      takeNetworkError(error)
    },
  }
}

function readingError(source: ErrorSource, error: unknown, isBody: boolean): unknown {
  if (error instanceof NoAnswerError) return errorFromStream(source, error.message, error.said)
  if (error instanceof ReplyError) {
    return (isBody ? errorFromBody : errorFromStream)(source, error.message, error.said)
  }
  if (error instanceof EventTooLongError) return errorFromStream(source, 'sent too much', error.message)
  // Not the provider's doing: `onText` threw.
  return error
}
