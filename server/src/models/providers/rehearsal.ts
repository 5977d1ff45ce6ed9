import { setImmediate as nextTurnOfTheLoop } from 'node:timers/promises'
import { abortedError } from '../errors/provider-errors.ts'
import type { Model, ModelFinishReason, ModelRequest, ModelResult } from '../model.ts'
import { ModelError } from '../model-error.ts'
import type { RehearsalScript } from '../settings.ts'
import { sleep } from '../sleep.ts'
import type { ToolCall } from '../tool-call.ts'

const SOURCE = { aiSystem: 'rehearsal', label: 'Rehearsal' }

/** UTF-16 units of the user's message that the reply quotes. */
const QUOTED = 120

type Ending =
  | { kind: 'finish'; reason: ModelFinishReason; toolCalls?: readonly ToolCall[] }
  | { kind: 'fail'; failure: NonNullable<RehearsalScript['failure']> }

/**
 * The built-in `rehearsal` system: offline, deterministic, and no language model. `settings.rehearsal` is its script; it
 * also obeys `maxTokens` and `stop`, and counts tokens with {@link splitTokens}. It calls the tools that the script says,
 * step by step, and then answers.
 *
 * A script with `failure`, `failAtToken` or `failures` fails (as `error`, at token 0, unless it says otherwise). With
 * `failures: n` only the attempts 0 to n-1 of a turn do: the attempt comes with the request, so that nothing has to be
 * remembered here and the same request always has the same outcome.
 */
export function createRehearsalModel(model = 'rehearsal'): Model {
  return {
    aiSystem: SOURCE.aiSystem,
    model,
    async generate(request, onText) {
      try {
        return await perform(request, onText)
      } catch (error) {
        throw request.signal.aborted ? abortedError(SOURCE, error) : error
      }
    },
  }
}

/** Cuts a text into words with the white space before them; put together they are exactly the text. */
export function splitTokens(text: string): string[] {
  return text.match(/\s*\S+|\s+$/g) ?? []
}

async function perform(request: ModelRequest, onText: (text: string) => void): Promise<ModelResult> {
  const { signal } = request
  const script = request.settings.rehearsal ?? {}
  const { tokens, ending } = plan(request, script)
  signal.throwIfAborted()
  if (script.delayMs) await sleep(script.delayMs, signal)
  const intervalMs = script.tokensPerSecond ? 1_000 / script.tokensPerSecond : 0
  const startedAt = performance.now()
  for (const [index, token] of tokens.entries()) {
    const earlyMs = startedAt + index * intervalMs - performance.now()
    if (earlyMs >= 1) await sleep(earlyMs, signal)
    // As fast as it goes, but one at a time: whoever reads gets to see each token by itself.
    else await nextTurnOfTheLoop()
    signal.throwIfAborted()
    onText(token)
  }
  if (ending.kind === 'fail') throw await failureOf(ending.failure, tokens.length > 0, signal)
  return {
    finishReason: ending.reason,
    usage: { promptTokens: countPrompt(request), completionTokens: tokens.length + (ending.toolCalls?.length ?? 0) },
    ...(ending.toolCalls && { toolCalls: ending.toolCalls }),
  }
}

/** Everything is decided before the first token. */
function plan(request: ModelRequest, script: RehearsalScript): { tokens: string[]; ending: Ending } {
  const { maxTokens, stop = [] } = request.settings
  const toolCalls = scriptedCalls(request, script)
  if (toolCalls && failingToken(request, script) === null) {
    return { tokens: [], ending: { kind: 'finish', reason: 'tool_calls', toolCalls } }
  }
  const all = splitTokens(cutAtStop(script.text ?? defaultReply(request), [stop].flat()))
  const tokens = maxTokens === undefined ? all : all.slice(0, maxTokens)
  const failAt = failingToken(request, script)
  if (failAt !== null) {
    return { tokens: tokens.slice(0, failAt), ending: { kind: 'fail', failure: script.failure ?? 'error' } }
  }
  const reason = tokens.length < all.length ? 'length' : (script.finishReason ?? 'stop')
  return { tokens, ending: { kind: 'finish', reason } }
}

/** The calls of this step: as many steps are over as there are messages with calls behind the user's last one. */
function scriptedCalls({ messages, tools = [], mustAnswer }: ModelRequest, script: RehearsalScript) {
  if (tools.length === 0 || mustAnswer) return undefined
  const since = messages.slice(messages.findLastIndex((_message, i) => isQuestion(messages, i)) + 1)
  const step = since.filter((message) => message.role === 'assistant' && message.toolCalls?.length).length
  // The number of messages makes the ids differ within a conversation.
  return script.toolCalls?.[step]?.map(
    ({ name, input = {} }, i): ToolCall => ({ id: `call_${messages.length}_${i}`, name, input }),
  )
}

function failingToken({ attempt }: ModelRequest, script: RehearsalScript): number | null {
  const isScripted = script.failure !== undefined || script.failAtToken !== undefined || script.failures !== undefined
  if (!isScripted || attempt >= (script.failures ?? Number.POSITIVE_INFINITY)) return null
  return script.failAtToken ?? 0
}

async function failureOf(
  failure: NonNullable<RehearsalScript['failure']>,
  hasBegun: boolean,
  signal: AbortSignal,
): Promise<ModelError> {
  switch (failure) {
    case 'error':
      return hasBegun
        ? failed('failed', 'Rehearsal failed while it was answering: as its script says')
        : failed('failed', 'Rehearsal answered 500: as its script says', 500)
    case 'rate_limit':
      return failed('rate_limited', 'Rehearsal answered 429: as its script says', 429)
    case 'cut':
      return failed('failed', 'Rehearsal ended without a finish reason')
    case 'hang':
      // Silence until somebody gives up.
      for (;;) await sleep(60_000, signal)
  }
}

function failed(kind: 'failed' | 'rate_limited', message: string, status?: number): ModelError {
  return new ModelError(kind, message, { aiSystem: SOURCE.aiSystem, ...(status === undefined ? {} : { status }) })
}

function cutAtStop(text: string, stops: readonly string[]): string {
  const found = stops.map((stop) => text.indexOf(stop)).filter((at) => at !== -1)
  return found.length === 0 ? text : text.slice(0, Math.min(...found))
}

/** Files that a tool has given stand behind its results as a message of the user. */
function isQuestion(messages: ModelRequest['messages'], i: number): boolean {
  const message = messages[i]
  return message?.role === 'user' && !(message.attachments && messages[i - 1]?.role === 'tool')
}

function defaultReply({ messages }: ModelRequest): string {
  const last = messages.findLast((message, i) => message.role !== 'user' || isQuestion(messages, i))
  if (last?.role === 'tool') {
    return `This is a rehearsal and not a language model: nobody has thought about what the tool ${last.name} answered, which is “${quoted(last.content)}”.`
  }
  const said = messages.findLast((_message, i) => isQuestion(messages, i))?.content ?? ''
  return `This is a rehearsal and not a language model: nobody has thought about your message “${quoted(said)}”. Configure a model provider to get a real answer.`
}

function quoted(content: string): string {
  const text = content.trim()
  return text.length > QUOTED ? `${text.slice(0, QUOTED).toWellFormed()}…` : text
}

function countPrompt({ system, messages }: ModelRequest): number {
  const texts = messages.map((message) => message.content)
  return [system ?? '', ...texts].reduce((sum, text) => sum + splitTokens(text).length, 0)
}
