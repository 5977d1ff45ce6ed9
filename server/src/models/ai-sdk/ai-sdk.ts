import type {
  LanguageModelV4,
  LanguageModelV4File,
  LanguageModelV4FinishReason,
  LanguageModelV4Source,
  LanguageModelV4StreamPart,
  LanguageModelV4ToolCall,
  LanguageModelV4Usage,
} from '@ai-sdk/provider'
import type { JsonObject } from '../../lib/json.ts'
import {
  abortedError,
  type ErrorSource,
  errorFromNetwork,
  errorFromPage,
  errorFromResponse,
  errorFromStream,
  isNetworkError,
  messageIn,
} from '../errors/provider-errors.ts'
import type { Model, ModelRequest, ModelResult, ModelUsage } from '../model.ts'
import { ModelError } from '../model-error.ts'
import { createCitations } from '../replies/citations.ts'
import { type Ending, endingOf, hasSpoken, isFinishReason, NoAnswerError, resultOf } from '../replies/finish-reasons.ts'
import { noteOfPicture, pictureNote } from '../replies/picture-note.ts'
import { toUsage } from '../replies/usage.ts'
import { silenceAfterFinish } from '../settings.ts'
import { type ToolCall, toToolCall } from '../tool-call.ts'
import { callOptions } from './ai-sdk-request.ts'
import { createPartCollector, thoughtsOf } from './ai-sdk-thoughts.ts'
import { WebPageError } from './provider-fetch.ts'
import { readingAs } from './stream-end.ts'

export type AiSdkModelOptions = ErrorSource & { model: LanguageModelV4 }

/**
 * A model of an AI SDK provider package, used at the provider level (`doStream`, specification v4 of `@ai-sdk/provider`):
 * its parts become our text, finish reason and usage, its errors our {@link ModelError}. Thoughts have a listener
 * of their own.
 */
export function createAiSdkModel({ model, ...source }: AiSdkModelOptions): Model {
  return {
    aiSystem: source.aiSystem,
    model: model.modelId,
    async generate(request, onText, onActivity, onThought = onActivity) {
      if (request.signal.aborted) throw abortedError(source, request.signal.reason)
      let received = false
      try {
        const silenceMs = silenceAfterFinish(request.settings.timeouts)
        const citations = createCitations()
        const { stream } = await readingAs({ silenceMs, onActivity, citations }, () =>
          model.doStream(callOptions(source.aiSystem, model.modelId, request)),
        )
        received = true
        const listeners = { onText, onActivity, onThought }
        return await readStream({ ...source, model: model.modelId }, stream, request, citations, listeners)
      } catch (error) {
        if (request.signal.aborted) throw abortedError(source, error)
        throw toModelError(source, error, received)
      }
    },
  }
}

/** Parts without text of the reply that only come when something has come from the provider. */
const SIGNS_OF_LIFE: ReadonlySet<string> = new Set<LanguageModelV4StreamPart['type']>([
  'tool-input-start',
  'tool-input-delta',
  'reasoning-start',
  'reasoning-delta',
  'reasoning-end',
])

/** An error that `onText` threw; it has to pass through unchanged. */
class ReaderError extends Error {}

type Listeners = {
  onText: (text: string) => void
  onActivity: (() => void) | undefined
  onThought: ((text: string) => void) | undefined
}

async function readStream(
  source: ErrorSource & { model: string },
  stream: ReadableStream<LanguageModelV4StreamPart>,
  { tools = [], messages }: ModelRequest,
  citations: ReturnType<typeof createCitations>,
  { onText, onActivity, onThought }: Listeners,
): Promise<ModelResult> {
  const reader = stream.getReader()
  const toolCalls: ToolCall[] = []
  const told = createPartCollector()
  let hasText = false
  const say = (text: string) => {
    if (text === '') return
    hasText = true
    giveOut(onText, text)
  }
  try {
    for (;;) {
      const { done, value: part } = await reader.read()
      if (done) throw errorFromStream(source, 'ended without a finish reason')
      told.take(part)
      if (part.type === 'text-delta') say(part.delta)
      else if (part.type === 'error') throw streamError(source, part.error)
      else if (part.type === 'tool-call' && !part.providerExecuted) {
        // Where there are no tools, nobody could answer it.
        if (tools.length > 0) toolCalls.push(toOurCall(source.aiSystem, part))
      } else if (part.type === 'reasoning-delta' && part.delta !== '') onThought?.(part.delta)
      else if (SIGNS_OF_LIFE.has(part.type)) onActivity?.()
      else if (part.type === 'file') say(noteOfFile(part))
      else if (part.type === 'source') citations.add([citationOf(part)])
      else if (part.type === 'finish') {
        const raw = part.finishReason.raw ?? part.finishReason.unified
        const ending = endingOfSdk(source, part.finishReason)
        const found = citations.all()
        const spoke = hasText || hasSpoken(messages)
        const result = resultOf({ ending, raw, hasText: spoke, toolCalls, usage: usageOf(part.usage) })
        const thoughts = thoughtsOf(told, source.aiSystem, source.model)
        return { ...result, ...(found.length > 0 && { citations: found }), ...thoughts }
      }
    }
  } finally {
    // After an error it closes the connection; after the end it does nothing.
    reader.cancel().catch(() => {})
  }
}

function giveOut(onText: (text: string) => void, text: string): void {
  try {
    onText(text)
  } catch (error) {
    throw new ReaderError('onText threw', { cause: error })
  }
}

function toOurCall(aiSystem: string, part: LanguageModelV4ToolCall): ToolCall {
  const call = toToolCall(part.toolCallId, part.toolName, part.input)
  return part.providerMetadata === undefined
    ? call
    : { ...call, providerData: { aiSystem, metadata: part.providerMetadata as JsonObject } }
}

/** A package may have no word for a reason, or call it an error, and the provider's own word says more. */
function endingOfSdk(source: ErrorSource, { unified, raw }: LanguageModelV4FinishReason): Ending {
  if (unified === 'stop' || unified === 'length') return unified
  if (unified === 'tool-calls') return 'tool_calls'
  if (unified === 'content-filter') return 'content_filter'
  if (isFinishReason(raw)) return unified === 'other' ? endingOf(raw) : 'failed'
  // A reason that the package has no word for is one; none at all is a connection that ended too early.
  if (unified !== 'error') throw errorFromStream(source, 'ended without a finish reason')
  throw errorFromStream(source, 'failed while it was answering')
}

function noteOfFile({ mediaType, data }: LanguageModelV4File): string {
  return data.type === 'url' ? pictureNote(String(data.url)) : noteOfPicture(mediaType)
}

function citationOf(part: LanguageModelV4Source): JsonObject {
  const title = part.title === undefined ? {} : { title: part.title }
  return part.sourceType === 'url' ? { url: part.url, ...title } : { mediaType: part.mediaType, ...title }
}

function usageOf({ inputTokens, outputTokens }: LanguageModelV4Usage): ModelUsage | null {
  return toUsage(inputTokens.total, outputTokens.total, outputTokens.reasoning)
}

/** The fields of `APICallError` and of the packages' in-stream errors that are used here; every one may be missing. */
type SdkError = { statusCode: unknown; responseHeaders: unknown; responseBody: unknown }

function toModelError(source: ErrorSource, error: unknown, received: boolean): unknown {
  if (error instanceof ModelError) return error
  if (error instanceof ReaderError) return error.cause
  if (error instanceof NoAnswerError) return errorFromStream(source, error.message, error.said)
  const status = failedStatusOf(error)
  if (status !== null) return responseError(source, status, error)
  const pageStatus = pageStatusOf(error)
  if (pageStatus !== null) return errorFromPage(source, pageStatus, error)
  // Told apart by name: each package may bring its own copy of the class.
  if (error instanceof Error && /^AI_(?:Unsupported|InvalidPrompt|InvalidArgument|Load)/.test(error.name)) {
    const said = source.redact(error.message)
    return new ModelError('refused', `${source.label} cannot be asked this: ${said}`, {
      aiSystem: source.aiSystem,
      cause: error,
    })
  }
  if (isNetworkError(error)) return errorFromNetwork(source, error, received)
  return unreadable(source, error)
}

/** The status of a page that came in the place of an answer, or of a redirect to one, which is not followed. */
function pageStatusOf(error: unknown): number | null {
  for (let at = error; at instanceof Error; at = at.cause) {
    if (at instanceof WebPageError) return at.status
    if (at.message === 'unexpected redirect') return 302
  }
  return null
}

/** An error part inside a stream. Some packages attach the status that it would have had as a response. */
function streamError(source: ErrorSource, error: unknown): ModelError {
  const status = failedStatusOf(error)
  if (status !== null) return responseError(source, status, error)
  if (isNetworkError(error)) return errorFromNetwork(source, error, true)
  const said = error instanceof Error ? null : messageIn(error)
  if (said === null) return unreadable(source, error)
  return errorFromStream(source, 'failed while it was answering', said, error)
}

/** The status that it failed with; null also when the answer had begun well (200). */
function failedStatusOf(error: unknown): number | null {
  const status = (error as Partial<SdkError> | null | undefined)?.statusCode
  return typeof status === 'number' && status >= 300 ? status : null
}

function responseError(source: ErrorSource, status: number, error: unknown): ModelError {
  const { responseHeaders, responseBody } = error as Partial<SdkError>
  const headers = typeof responseHeaders === 'object' ? (responseHeaders as Record<string, string>) : {}
  const body = typeof responseBody === 'string' && responseBody !== '' ? responseBody : messageOf(error)
  return errorFromResponse(source, { status, headers, body, cause: error })
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : (messageIn(error) ?? '')
}

/** A package that stumbled over what it got. Its message is left out: it may quote somebody's text. */
function unreadable(source: ErrorSource, error: unknown): ModelError {
  return errorFromStream(source, 'sent something that cannot be read', '', error)
}
