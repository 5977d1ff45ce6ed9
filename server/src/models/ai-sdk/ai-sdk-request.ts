import type {
  LanguageModelV4CallOptions,
  LanguageModelV4FilePart,
  LanguageModelV4FunctionTool,
  LanguageModelV4Message,
} from '@ai-sdk/provider'
import type { JsonObject } from '../../lib/json.ts'
import { DIALECT_HEADER, type Dialect } from '../dialects/dialect.ts'
import type { ModelMessage, ModelRequest } from '../model.ts'
import type { ModelFile } from '../model-file.ts'
import { plainResponseFormat } from '../response-format.ts'
import type { ModelSettings } from '../settings.ts'
import { toolCallIdFor } from '../tool-call.ts'
import { reasoningOptions } from './ai-sdk-reasoning.ts'
import { toAssistantParts } from './ai-sdk-thoughts.ts'
import { toolsAsText } from './tools-as-text.ts'

/** A request in the words of the packages. */
export function callOptions(aiSystem: string, model: string, request: ModelRequest): LanguageModelV4CallOptions {
  const { system, settings, signal, mustAnswer, dialect } = request
  // Its protocol has no way to forbid calls, and its package drops the results together with the tools.
  const isToldAsText = mustAnswer === true && aiSystem === 'bedrock'
  const tools = isToldAsText ? [] : (request.tools ?? [])
  const messages = isToldAsText ? toolsAsText(request.messages) : request.messages
  const prompt = withResultsTogether(messages.map((message) => toSdkMessage({ aiSystem, model }, message)))
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
  const { providerOptions, ...thinking } = reasoningOptions({ aiSystem, model }, settings)
  Object.assign(options, thinking)
  if (providerOptions) options.providerOptions = { ...options.providerOptions, ...providerOptions }
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

function toSdkMessage(to: { aiSystem: string; model: string }, message: ModelMessage): LanguageModelV4Message {
  const { aiSystem } = to
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
  return { role, content: [...toAssistantParts(content, message.thoughts, to), ...calls] }
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
