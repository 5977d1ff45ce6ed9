import { isJsonObject, type JsonValue } from '../../lib/json.ts'
import { printable } from '../../lib/text/printable.ts'
import { Failure } from '../command.ts'
import { ApiError, type ChatApi, describeErrorBody } from './api.ts'
import type { SseEvent } from './sse-reader.ts'
import type { Terminal } from './terminal.ts'

/** Why a reply ended, for those that did not simply end. */
const ENDINGS: Record<string, string> = {
  cancelled: 'stopped',
  length: 'cut off: the reply reached its limit of tokens',
  content_filter: 'cut off by the content filter of the provider',
  interrupted: 'interrupted by the server',
  tool_calls: 'the persona waits for a tool, which this chat cannot run',
}

/** The status of a turn that was cancelled before there was any text. */
const CANCELLED = 499

export type ReplyRequest = {
  api: ChatApi
  terminal: Terminal
  conversationId: string
  message: string
}

/**
 * Sends a message and shows the reply as it comes. An interrupt stops the reply, a second one ends the session. False when
 * the turn failed, which has been said.
 */
export async function showReply({ api, terminal, conversationId, message }: ReplyRequest): Promise<boolean> {
  let runId: string | null = null
  let isStopping = false
  let hasQuit = false

  const stop = () => {
    if (isStopping) {
      hasQuit = true
      return terminal.quit()
    }
    isStopping = true
    if (runId !== null) return cancel(runId)
    // The run has a name for us once the reply begins.
    terminal.note('[stopping …]')
  }
  // That the reply goes on is to be seen; why it could not be stopped is said.
  const cancel = (id: string) => {
    api.cancel(conversationId, id).catch((error: Error) => {
      if (!hasQuit) terminal.note(`It cannot be stopped: ${error.message}.`)
    })
  }

  return terminal.whileBusy(stop, async () => {
    try {
      const reply = await api.send(conversationId, message)
      runId = reply.runId
      if (isStopping) cancel(runId)
      return await show(terminal, reply.events)
    } catch (error) {
      if (hasQuit) return true
      if (!(error instanceof Failure)) throw error
      const isCancelled = error instanceof ApiError && error.status === CANCELLED
      terminal.note(isCancelled ? '[stopped]' : `The turn failed: ${error.message}.`)
      return isCancelled
    }
  })
}

async function show(terminal: Terminal, events: AsyncIterable<SseEvent>): Promise<boolean> {
  const line = createLine(terminal)
  let isGood = true
  try {
    for await (const { event, data } of events) {
      if (data === '[DONE]') return isGood
      const item = JSON.parse(data) as JsonValue
      if (event === 'error') {
        isGood = false
        line.end()
        terminal.note(`The turn failed: ${describeErrorBody(item) ?? 'nobody knows why'}.`)
        continue
      }
      const { text, note, ending } = readItem(item)
      line.write(text)
      if (note !== null) {
        line.end()
        terminal.note(`[${printable(note)}]`)
      }
      if (ending !== null) {
        line.end()
        terminal.note(`[${ending}]`)
      }
    }
    throw new Failure('the connection ended in the middle of the reply')
  } finally {
    line.end()
  }
}

function readItem(item: JsonValue): { text: string; note: string | null; ending: string | null } {
  const choice = isJsonObject(item) ? item['choice'] : null
  if (!isJsonObject(item) || !isJsonObject(choice)) return { text: '', note: null, ending: null }
  const { message, finish_reason: reason } = choice
  const content = isJsonObject(message) ? message['content'] : null
  return {
    // What a tool has answered is for the model.
    text: typeof content === 'string' && !isFromTool(message) ? content : '',
    note: item['status'] === 'waiting' ? 'a call waits to be approved' : calledBy(message),
    ending: typeof reason === 'string' ? (ENDINGS[reason] ?? null) : null,
  }
}

function isFromTool(message: JsonValue | undefined): boolean {
  return isJsonObject(message) && message['role'] === 'tool'
}

/** What the model calls with a message, if it does. */
function calledBy(message: JsonValue | undefined): string | null {
  const calls = isJsonObject(message) ? message['toolCalls'] : null
  if (!Array.isArray(calls)) return null
  return `calls ${calls.map((call) => (isJsonObject(call) ? String(call['name']) : '')).join(', ')}`
}

/** Text that is written piece by piece and ends with exactly one line end, if there was any. */
function createLine(terminal: Terminal) {
  let isOpen = false
  return {
    write(text: string): void {
      const safe = printable(text)
      if (safe === '') return
      terminal.write(safe)
      isOpen = !safe.endsWith('\n')
    },
    end(): void {
      if (isOpen) terminal.write('\n')
      isOpen = false
    },
  }
}
