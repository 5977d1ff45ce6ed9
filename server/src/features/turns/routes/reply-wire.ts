import type { Static } from 'typebox'
import { AppError } from '../../../errors.ts'
import { sseEvent } from '../../../http/answers/sse.ts'
import { toErrorBody } from '../../../http/errors.ts'
import { isUuid, timeOfUuid } from '../../../lib/ids.ts'
import type { ToolCall } from '../../../models/tool-call.ts'
import type { ReadableRun } from '../reply/readable-run.ts'
import { type ReplyEvent, stepsOf, type ToolEvent, thoughtsIn } from '../reply/reply-event.ts'
import type { RunEnd, RunKey, Usage } from '../run/run.ts'
import type { ChatResponse } from './turn-schemas.ts'

/** Prints the items of one run's stream. Item n of a run is the same bytes whenever it is printed. */
export type ItemPrinter = {
  /** The item of an event. */
  event(n: number, event: ReplyEvent): string
  /** The same as a server-sent event. */
  sse(n: number, event: ReplyEvent): string
  /** The last item, without a brace at its end: a format may add members. */
  last(n: number, end: RunEnd): string
}

/** `GenAiStreamingChatChoice`, section 6 of the contract. Put together by hand: a token is a few bytes in a fixed frame. */
export function createItemPrinter(runId: string, messageId: string): ItemPrinter {
  const open = (finishReason: string, role: string) =>
    `{"choice":{"finish_reason":${finishReason},"index":0,"message":{${role}"content":`
  const ROLE = '"role":"assistant",'
  const first = open('null', ROLE)
  const next = open('null', '')
  const ids = `"messageId":"${messageId}","runId":"${runId}"`
  const close = `}},${ids}}`
  // Put together once: of a reply of 300 tokens this is printed 299 times.
  const sseId = `id: ${runId}:`
  const sseNext = `\ndata: ${next}`
  const sseClose = `${close}\n\n`
  const print = (n: number, event: ReplyEvent) =>
    typeof event === 'string'
      ? (n === 0 ? first : next) + JSON.stringify(event) + close
      : `{"choice":{"finish_reason":null,"index":0,"message":${toolMessage(event)}},${memberBeside(event)}${ids}}`
  return {
    event: print,
    sse: (n, event) =>
      n > 0 && typeof event === 'string'
        ? sseId + n + sseNext + JSON.stringify(event) + sseClose
        : sseEvent(print(n, event), { id: `${runId}:${n}` }),
    last: (n, end) => {
      const opening = open(`"${end.finishReason}"`, n === 0 ? ROLE : '')
      const citations = end.citations === undefined ? '' : `"citations":${JSON.stringify(end.citations)},`
      const usage = JSON.stringify(toUsageDto(end.usage, end.reasoningTokens))
      return `${opening}""}},"usage":${usage},${citations}${ids}`
    },
  }
}

/** The message of an item that is no text. Its content is empty, so that whoever only adds texts up goes on working. */
function toolMessage(event: ToolEvent): string {
  if (event.kind === 'thought') return JSON.stringify({ role: 'assistant', content: '', reasoning: event.text })
  if (event.kind !== 'calls' && event.kind !== 'result') return '{"role":"assistant","content":""}'
  if (event.kind === 'calls') {
    return JSON.stringify({ role: 'assistant', content: '', toolCalls: event.calls.map(toToolCallDto) })
  }
  const { content, toolCallId, name } = event
  return JSON.stringify({ role: 'tool', content, toolCallId, name })
}

function memberBeside(event: ToolEvent): string {
  if (event.kind === 'wasThought') return '"contentWasReasoning":true,'
  if (event.kind !== 'waiting') return ''
  return `"status":"waiting","waitingFor":${JSON.stringify(event.toolCallIds)},`
}

function toToolCallDto({ id, name, input }: ToolCall) {
  return { toolCallId: id, name, input }
}

/** The tokens of thoughts are among those of the completion. */
export function toUsageDto(usage: Usage, reasoningTokens?: number) {
  return {
    prompt_tokens: usage.promptTokens,
    completion_tokens: usage.completionTokens,
    total_tokens: usage.promptTokens + usage.completionTokens,
    ...(reasoningTokens !== undefined && { completion_tokens_details: { reasoning_tokens: reasoningTokens } }),
  }
}

/** The error that a failed run shows, naming the run; null for one that did not fail. */
export function errorOf(key: Pick<RunKey, 'conversationId' | 'runId'>, end: RunEnd): AppError | null {
  if (!end.error) return null
  const { code, message, ...rest } = end.error
  const { conversationId, runId } = key
  return new AppError(code, message, { conversationId, runId, ...rest })
}

/** The body of an error inside a stream. */
export function errorJson(error: AppError): string {
  return JSON.stringify(toErrorBody(error))
}

/** The whole reply at once; what the model thought only for those who ask. */
export function toChatResponse(
  turn: ReadableRun,
  end: RunEnd,
  requestId: string,
  withThoughts: boolean,
): Static<typeof ChatResponse> {
  const last = stepsOf(turn.reply.events).at(-1)
  const reasoning = withThoughts && turn.mayShowThoughts ? thoughtsIn(turn.reply.events) : ''
  const toolCalls = last?.calls.map(toToolCallDto) ?? []
  return {
    id: turn.runId,
    object: 'chat.completion',
    // The time that is in its id: the same whenever the answer is given.
    created: Math.floor(timeOfUuid(turn.runId) / 1_000),
    choices: [
      {
        finish_reason: end.finishReason,
        index: 0,
        message: {
          role: 'assistant',
          content: last?.text ?? '',
          toolCallId: null,
          name: null,
          ...(toolCalls.length > 0 && { toolCalls }),
          ...(reasoning !== '' && { reasoning }),
        },
      },
    ],
    usage: toUsageDto(end.usage, end.reasoningTokens),
    messageId: turn.messageId,
    runId: turn.runId,
    // The field is a UUID, and a caller's own name for its request need not be one: then the run stands for it.
    httpRequestId: isUuid(requestId) ? requestId : turn.runId,
    citations: [...(end.citations ?? [])],
  }
}
