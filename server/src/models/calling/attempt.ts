import { abortedError } from '../errors/provider-errors.ts'
import type { Model, ModelRequest, ModelResult } from '../model.ts'
import { ModelError } from '../model-error.ts'
import { createPhaseTimer, type Phase, type PhaseTimeouts } from './phase-timer.ts'

/** What `onText` threw; it is the caller's business and nothing that the provider did. */
export class CallerError extends Error {
  constructor(cause: unknown) {
    super('onText threw', { cause })
    this.name = 'CallerError'
  }
}

/** The error of a timeout that was ours and not the provider's; `phase` says which. */
export class PhaseTimeoutError extends ModelError {
  readonly phase: Phase

  constructor(phase: Phase, message: string, aiSystem: string) {
    super('timeout', message, { aiSystem, retryable: false })
    this.phase = phase
  }

  /** Its words are ours, and what is done about it hangs on its class. */
  override inOtherWords(): ModelError {
    return this
  }
}

export type AttemptOptions = {
  model: Model
  /** For people. */
  label: string
  request: ModelRequest
  timeouts: PhaseTimeouts
  /** When the whole turn has to be over, on the clock of `now`. */
  deadline: number
  now: () => number
  onText(text: string): void
  onThought?(text: string): void
}

/**
 * One call of one model under the timeouts of its phases. Rejects as soon as it is aborted or too late, whether or not
 * the model notices; the connection is closed then, and what still comes is dropped. Rejects with a {@link ModelError} or
 * a {@link CallerError}.
 */
export function runAttempt(options: AttemptOptions): Promise<ModelResult> {
  const { model, label, request, timeouts, deadline, now, onText, onThought } = options
  const { promise, resolve, reject } = Promise.withResolvers<ModelResult>()
  const connection = new AbortController()
  let isSettled = false

  const onAbort = () => fail(abortedError({ aiSystem: model.aiSystem, label }, request.signal.reason))
  const timer = createPhaseTimer({
    timeouts,
    deadline,
    now,
    onTimeout: (phase) => fail(new PhaseTimeoutError(phase, timeoutMessage(phase, label, timeouts), model.aiSystem)),
  })
  request.signal.addEventListener('abort', onAbort, { once: true })

  function settle(): boolean {
    if (isSettled) return false
    isSettled = true
    timer.stop()
    request.signal.removeEventListener('abort', onAbort)
    return true
  }

  function fail(error: unknown): void {
    if (!settle()) return
    reject(error)
    connection.abort(error)
  }

  function takeText(text: string): void {
    if (isSettled) return
    timer.token()
    try {
      onText(text)
    } catch (error) {
      fail(new CallerError(error))
    }
  }

  function takeThought(text: string): void {
    if (isSettled) return
    timer.token()
    try {
      onThought?.(text)
    } catch (error) {
      fail(new CallerError(error))
    }
  }

  /** Something came that is no text: the model is at work. */
  function takeSign(): void {
    if (!isSettled) timer.token()
  }

  if (request.signal.aborted) onAbort()
  else {
    model.generate({ ...request, signal: connection.signal }, takeText, takeSign, takeThought).then(
      (result) => {
        if (settle()) resolve(result)
      },
      (error: unknown) => fail(toModelError(error, label, model.aiSystem)),
    )
  }
  return promise
}

function timeoutMessage(phase: Phase, label: string, timeouts: PhaseTimeouts): string {
  if (phase === 'firstToken') return `${label} sent nothing within ${timeouts.firstTokenMs} ms`
  if (phase === 'betweenTokens') return `${label} fell silent for ${timeouts.betweenTokensMs} ms`
  return `${label} was not done when the time for the whole turn was over`
}

function toModelError(error: unknown, label: string, aiSystem: string): ModelError {
  if (error instanceof ModelError) return error
  // A fault of ours: its message is for the log and not for callers.
  return new ModelError('failed', `The call of ${label} failed unexpectedly`, {
    aiSystem,
    retryable: false,
    cause: error,
  })
}
