import { isJsonObject, type JsonObject } from '../../lib/json.ts'
import { writeInDialect } from '../dialects/dialect.ts'
import type { ModelMessage, ModelRequest } from '../model.ts'
import { base64Of, kindOfFile, type ModelFile } from '../model-file.ts'
import { plainResponseFormat } from '../response-format.ts'
import { reasoningMembers } from '../thinking/reasoning-settings.ts'
import { membersToSend } from '../thinking/thoughts.ts'
import { toolCallIdFor } from '../tool-call.ts'

export type BodyWriter = {
  /** Writes these messages now, for a request that will come with the same array; it need not come. */
  prepare(messages: readonly ModelMessage[]): void
  /** The body of a request, as JSON. */
  write(request: ModelRequest): string
}

/** Writes the bodies of Chat Completions requests (https://platform.openai.com/docs/api-reference/chat/create). */
export function createBodyWriter(options: { aiSystem: string; model: string; baseUrl?: string }): BodyWriter {
  const { aiSystem, model, baseUrl = 'http://localhost' } = options
  const prepared = new WeakMap<readonly ModelMessage[], string>()

  function take(messages: readonly ModelMessage[]): string {
    const written = prepared.get(messages)
    // A reply may take minutes, and a long talk has 100 kB.
    prepared.delete(messages)
    return written ?? spokenJson(aiSystem, messages)
  }

  return {
    prepare(messages) {
      prepared.set(messages, spokenJson(aiSystem, messages))
    },
    write(request) {
      const { system, messages } = request
      const frame = JSON.stringify(frameOf(model, baseUrl, request)).slice(0, -1)
      const said = system === null ? '' : JSON.stringify({ role: 'system', content: system })
      const separator = system === null || messages.length === 0 ? '' : ','
      return `${frame},"messages":[${said}${separator}${take(messages)}]}`
    },
  }
}

/** The messages as JSON, without the brackets of an array. */
function spokenJson(aiSystem: string, messages: readonly ModelMessage[]): string {
  return JSON.stringify(messages.map((message) => toChatMessage(aiSystem, message))).slice(1, -1)
}

/** Everything but the messages. What is not set is left out: servers have defaults of their own. */
function frameOf(model: string, baseUrl: string, { settings, tools = [], mustAnswer, dialect }: ModelRequest): object {
  const frame = {
    model,
    stream: true,
    stream_options: { include_usage: true },
    temperature: settings.temperature,
    top_p: settings.topP,
    top_k: settings.topK,
    max_tokens: settings.maxTokens,
    stop: settings.stop,
    seed: settings.seed,
    frequency_penalty: settings.frequencyPenalty,
    presence_penalty: settings.presencePenalty,
    response_format: plainResponseFormat(settings.responseFormat) ?? undefined,
    ...reasoningMembers(settings.reasoning, baseUrl),
    ...(tools.length > 0 && {
      tools: tools.map(({ name, description, inputSchema }) => ({
        type: 'function',
        function: { name, description, parameters: inputSchema },
      })),
      // What is not said means auto, which some servers take only with a flag.
      tool_choice: mustAnswer ? 'none' : undefined,
    }),
  }
  if (dialect !== undefined) writeInDialect(frame, dialect)
  return frame
}

function toChatMessage(aiSystem: string, message: ModelMessage): object {
  if (message.role === 'tool') {
    return { role: 'tool', tool_call_id: toolCallIdFor(aiSystem, message.toolCallId), content: message.content }
  }
  if (message.role === 'user' && message.attachments?.length) {
    return { role: 'user', content: [...message.attachments.map(toFilePart), { type: 'text', text: message.content }] }
  }
  if (message.role === 'user') return { role: 'user', content: message.content }
  const { content, thoughts, toolCalls = [] } = message
  const beside = thoughts && membersToSend(thoughts, aiSystem, toolCalls.length > 0)
  if (toolCalls.length === 0) return { role: 'assistant', content, ...beside }
  const calls = toolCalls.map(({ id, name, input, providerData }) => ({
    ...besideToSend(aiSystem, providerData),
    id: toolCallIdFor(aiSystem, id),
    type: 'function',
    function: { name, arguments: JSON.stringify(input) },
  }))
  const said = thoughts?.aiSystem === aiSystem ? `${thoughts.tagged ?? ''}${content}` : content
  return { role: 'assistant', content: said === '' ? null : said, ...beside, tool_calls: calls }
}

/** What this provider has said beside a call, and wants back with it. */
function besideToSend(aiSystem: string, providerData: JsonObject | undefined): JsonObject {
  const members = providerData?.['aiSystem'] === aiSystem ? providerData['members'] : null
  return isJsonObject(members) ? members : {}
}

function toFilePart(file: ModelFile): object {
  const url = `data:${file.mediaType};base64,${base64Of(file)}`
  if (kindOfFile(file.mediaType) === 'image') return { type: 'image_url', image_url: { url } }
  return { type: 'file', file: { filename: file.name, file_data: url } }
}
