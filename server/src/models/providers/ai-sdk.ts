import type {
  LanguageModelV4,
  LanguageModelV4CallOptions,
  LanguageModelV4File,
  LanguageModelV4FilePart,
  LanguageModelV4FinishReason,
  LanguageModelV4FunctionTool,
  LanguageModelV4Message,
  LanguageModelV4Source,
  LanguageModelV4StreamPart,
  LanguageModelV4ToolCall,
  LanguageModelV4Usage,
} from '@ai-sdk/provider'
import type { JsonObject } from '../../lib/json.ts'
import { createCitations } from '../citations.ts'
import { DIALECT_HEADER, type Dialect } from '../dialect.ts'
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
import { type Ending, endingOf, hasSpoken, isFinishReason, NoAnswerError, resultOf } from '../finish-reasons.ts'
import type { Model, ModelMessage, ModelRequest, ModelResult, ModelUsage } from '../model.ts'
import { ModelError } from '../model-error.ts'
import type { ModelFile } from '../model-file.ts'
import { noteOfPicture, pictureNote } from '../picture-note.ts'
import { plainResponseFormat } from '../response-format.ts'
import { type ModelSettings, silenceAfterFinish } from '../settings.ts'
import { type ToolCall, toolCallIdFor, toToolCall } from '../tool-call.ts'
import { toUsage } from '../usage.ts'
import { WebPageError } from './provider-fetch.ts'
import { readingAs } from './stream-end.ts'
import { toolsAsText } from './tools-as-text.ts'

export type AiSdkModelOptions = ErrorSource & { model: LanguageModelV4 }

/**
 * A model of an AI SDK provider package, used at the provider level (`doStream`, specification v4 of `@ai-sdk/provider`):
 * its parts become our text, finish reason and usage, its errors our {@link ModelError}. Reasoning is not passed on.
 */
export function createAiSdkModel({ model, ...source }: AiSdkModelOptions): Model {
  return {
    aiSystem: source.aiSystem,
    model: model.modelId,
    async generate(request, onText, onActivity) {
      if (request.signal.aborted) throw abortedError(source, request.signal.reason)
      let received = false
      try {
        const silenceMs = silenceAfterFinish(request.settings.timeouts)
        const { stream } = await readingAs({ silenceMs, onActivity }, () =>
          model.doStream(callOptions(source.aiSystem, request)),
        )
        received = true
        return await readStream(source, stream, request, onText, onActivity)
      } catch (error) {
        if (request.signal.aborted) throw abortedError(source, error)
        throw toModelError(source, error, received)
      }
    },
  }
}

/** An error that `onText` threw; it has to pass through unchanged. */
class ReaderError extends Error {}

async function readStream(
  source: ErrorSource,
  stream: ReadableStream<LanguageModelV4StreamPart>,
  { tools = [], messages }: ModelRequest,
  onText: (text: string) => void,
  onActivity: (() => void) | undefined,
): Promise<ModelResult> {
  const reader = stream.getReader()
  const toolCalls: ToolCall[] = []
  const citations = createCitations()
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
      if (part.type === 'text-delta') say(part.delta)
      else if (part.type === 'error') throw streamError(source, part.error)
      else if (part.type === 'tool-call' && !part.providerExecuted) {
        // Where there are no tools, nobody could answer it.
        if (tools.length > 0) toolCalls.push(toOurCall(source.aiSystem, part))
      } else if (part.type === 'tool-input-delta') onActivity?.()
      else if (part.type === 'file') say(noteOfFile(part))
      else if (part.type === 'source') citations.add([citationOf(part)])
      else if (part.type === 'finish') {
        const raw = part.finishReason.raw ?? part.finishReason.unified
        const ending = endingOfSdk(source, part.finishReason)
        const found = citations.all()
        const spoke = hasText || hasSpoken(messages)
        const result = resultOf({ ending, raw, hasText: spoke, toolCalls, usage: usageOf(part.usage) })
        return { ...result, ...(found.length > 0 && { citations: found }) }
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

function callOptions(aiSystem: string, request: ModelRequest): LanguageModelV4CallOptions {
  const { system, settings, signal, mustAnswer, dialect } = request
  // Its protocol has no way to forbid calls, and its package drops the results together with the tools.
  const isToldAsText = mustAnswer === true && aiSystem === 'bedrock'
  const tools = isToldAsText ? [] : (request.tools ?? [])
  const messages = isToldAsText ? toolsAsText(request.messages) : request.messages
  const prompt = withResultsTogether(messages.map((message) => toSdkMessage(aiSystem, message)))
  if (system !== null) prompt.unshift({ role: 'system', content: system })
  const options: LanguageModelV4CallOptions = { prompt, abortSignal: signal, ...responseFormatOptions(settings) }
  // Requests to Bedrock are signed before they could be written anew; what it refuses are settings.
  if (dialect !== undefined && aiSystem !== 'bedrock') options.headers = headersFor(dialect)
  if (tools.length > 0) {
    options.tools = tools.map(({ name, description, inputSchema }) => ({
      type: 'function' as const,
      name,
      description,
      inputSchema: inputSchema as LanguageModelV4FunctionTool['inputSchema'],
    }))
    options.toolChoice = { type: mustAnswer ? 'none' : 'auto' }
  }
  if (settings.temperature !== undefined) options.temperature = settings.temperature
  if (settings.topP !== undefined) options.topP = settings.topP
  if (settings.topK !== undefined) options.topK = settings.topK
  if (settings.maxTokens !== undefined) options.maxOutputTokens = settings.maxTokens
  if (settings.stop !== undefined) options.stopSequences = [settings.stop].flat()
  if (settings.seed !== undefined) options.seed = settings.seed
  if (settings.frequencyPenalty !== undefined) options.frequencyPenalty = settings.frequencyPenalty
  if (settings.presencePenalty !== undefined) options.presencePenalty = settings.presencePenalty
  return options
}

function headersFor(dialect: Dialect): Record<string, string> {
  return { [DIALECT_HEADER]: JSON.stringify(dialect) }
}

/** The results of calls that were made together in one message, as Gemini wants them. */
function withResultsTogether(messages: readonly LanguageModelV4Message[]): LanguageModelV4Message[] {
  const prompt: LanguageModelV4Message[] = []
  for (const message of messages) {
    const last = prompt.at(-1)
    if (last?.role === 'tool' && message.role === 'tool') last.content.push(...message.content)
    else prompt.push(message)
  }
  return prompt
}

function toSdkMessage(aiSystem: string, message: ModelMessage): LanguageModelV4Message {
  const { role, content } = message
  const idOf = (id: string) => toolCallIdFor(aiSystem, id)
  if (role === 'user') {
    return { role, content: [...(message.attachments ?? []).map(toFilePart), { type: 'text', text: content }] }
  }
  if (role === 'tool') {
    const output = { type: 'text' as const, value: content }
    return {
      role,
      content: [{ type: 'tool-result', toolCallId: idOf(message.toolCallId), toolName: message.name, output }],
    }
  }
  const calls = (message.toolCalls ?? []).map(({ id, name, input, providerData }) => ({
    type: 'tool-call' as const,
    toolCallId: idOf(id),
    toolName: name,
    input,
    // What another provider said about a call is nothing for this one.
    ...(providerData?.['aiSystem'] === aiSystem && {
      providerOptions: providerData['metadata'] as Record<string, JsonObject>,
    }),
  }))
  return { role, content: [...(content === '' ? [] : [{ type: 'text' as const, text: content }]), ...calls] }
}

function toFilePart({ name, mediaType, bytes = new Uint8Array() }: ModelFile): LanguageModelV4FilePart {
  return { type: 'file', filename: name, mediaType, data: { type: 'data', data: bytes } }
}

function responseFormatOptions(
  settings: ModelSettings,
): Pick<LanguageModelV4CallOptions, 'responseFormat' | 'providerOptions'> {
  const format = plainResponseFormat(settings.responseFormat)
  if (format === null) return {}
  if (format.type === 'text') return { responseFormat: { type: 'text' } }
  if (format.type === 'json_object') return { responseFormat: { type: 'json' } }
  const { name, description, schema, strict } = format.json_schema
  return {
    responseFormat: { type: 'json', name, schema, ...(description === undefined ? {} : { description }) },
    // The package takes strict for granted, the protocol does not; most schemas are not fit for it.
    providerOptions: { openai: { strictJsonSchema: strict ?? false } },
  }
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
  return toUsage(inputTokens.total, outputTokens.total)
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
