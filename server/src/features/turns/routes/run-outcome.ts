import { AppError } from '../../../errors.ts'
import type { ReadableRun } from '../reply/readable-run.ts'
import { isShown, shownReply } from '../reply/shown-reply.ts'
import type { RunEnd } from '../run/run.ts'
import { isEnded } from '../run/run-state.ts'
import { errorOf } from './reply-wire.ts'

/** Whether a reader who has all events below `from` has read a run to its end. */
export function isReadToEnd(run: ReadableRun, from: number, reasoning: boolean): boolean {
  const reply = shownReply(run.reply, reasoning && run.mayShowThoughts === true)
  if (reply.end === null) return false
  // The last item is an event behind those of the reply, and an error is one more.
  const isFailed = reply.end.finishReason === 'error' && reply.end.error !== null
  return from > reply.events.length + (isFailed ? 1 : 0)
}

/** What the run shows when it ended without any text, and not well. */
export function failureBeforeText(run: ReadableRun) {
  const { end, events, isLost } = run.reply
  const isEmpty = !events.some((event) => isShown(event, false))
  if (isLost && isEmpty) return detached(run)
  return end && isEmpty ? errorOf(run, end) : null
}

/** What a call for the whole reply answers in its place (contract, section 6); null when the reply is as it should be. */
export function failureOfWhole(run: ReadableRun, end: RunEnd): AppError | null {
  // How it ended, and with which text, is only known to the database.
  if (run.reply.isLost) return detached(run)
  const error = end.finishReason === 'error' ? errorOf(run, end) : failureBeforeText(run)
  if (!error || !run.reply.events.some((event) => isShown(event, false))) return error
  const { conversationId, runId } = run
  return new AppError('provider_error', `the reply broke off: ${error.message}`, { conversationId, runId })
}

/** How a run has ended, once that is stored. Throws 503 when this process loses sight of it. */
export async function endOf(run: ReadableRun): Promise<RunEnd> {
  if (run.ended) {
    const end = await run.ended
    // It goes on elsewhere.
    if (!isEnded(end.status)) throw detached(run)
    return end
  }
  const { reply } = run
  if (!reply.end && !reply.isLost) {
    await new Promise<void>((resolve) => {
      const unwatch = reply.watch(() => {
        if (!reply.end && !reply.isLost) return
        unwatch()
        resolve()
      })
    })
  }
  if (!reply.end) throw detached(run)
  return reply.end
}

function detached({ conversationId, runId }: ReadableRun): AppError {
  const message = 'the server has lost the turn; its events can be read again at the run'
  return new AppError('unavailable', message, { conversationId, runId, retryAfterMs: 1_000 })
}
