import type { Static } from 'typebox'
import { AppError } from '../../errors.ts'
import { toErrorBody } from '../../http/errors.ts'
import { timeOfUuid } from '../../lib/ids.ts'
import type { ReadableRun } from './reply-stream.ts'
import type { RunEnd, RunKey, Usage } from './run.ts'
import type { ChatResponse } from './turn-schemas.ts'

/** Prints the items of one run's stream. Item n of a run is the same bytes whenever it is printed. */
export type ItemPrinter = {
  /** The item of a piece of text. */
  text(n: number, text: string): string
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
  return {
    text: (n, text) => (n === 0 ? first : next) + JSON.stringify(text) + close,
    last: (n, end) => {
      const opening = open(`"${end.finishReason}"`, n === 0 ? ROLE : '')
      return `${opening}""}},"usage":${JSON.stringify(toUsageDto(end.usage))},${ids}`
    },
  }
}

export function toUsageDto(usage: Usage) {
  return {
    prompt_tokens: usage.promptTokens,
    completion_tokens: usage.completionTokens,
    total_tokens: usage.promptTokens + usage.completionTokens,
  }
}

/** The error that a failed run shows, naming the run; null for one that did not fail. */
export function errorOf(key: Pick<RunKey, 'conversationId' | 'runId'>, end: RunEnd): AppError | null {
  if (!end.error) return null
  const { code, message, retryAfterMs } = end.error
  const { conversationId, runId } = key
  return new AppError(code, message, {
    ...{ conversationId, runId },
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  })
}

/** The body of an error inside a stream. */
export function errorJson(error: AppError): string {
  return JSON.stringify(toErrorBody(error))
}

/** The whole reply at once. */
export function toChatResponse(turn: ReadableRun, end: RunEnd, httpRequestId: string): Static<typeof ChatResponse> {
  return {
    id: turn.runId,
    object: 'chat.completion',
    // The time that is in its id: the same whenever the answer is given.
    created: Math.floor(timeOfUuid(turn.runId) / 1_000),
    choices: [
      {
        finish_reason: end.finishReason,
        index: 0,
        message: { role: 'assistant', content: turn.reply.texts.join(''), toolCallId: null, name: null },
      },
    ],
    usage: toUsageDto(end.usage),
    messageId: turn.messageId,
    runId: turn.runId,
    httpRequestId,
    citations: [],
  }
}
