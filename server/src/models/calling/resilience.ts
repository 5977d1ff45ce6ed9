import type { Clock } from '../../lib/clock.ts'
import { printableLine } from '../../lib/text/printable.ts'
import { AI_SYSTEM_FACTS, parseAiSystem } from '../ai-systems.ts'
import { discreet } from '../errors/discreet.ts'
import { abortedError } from '../errors/provider-errors.ts'
import type { Model, ModelCaller, ModelRequest, ModelResult } from '../model.ts'
import type { Attempt, CallOutcome, ChainLink, UpcomingAttempt } from '../model-call.ts'
import { ModelError, type ModelErrorKind } from '../model-error.ts'
import type { ModelRegistry } from '../providers/registry.ts'
import { DEFAULT_TIMEOUTS, type ModelSettings, type TurnTimeouts } from '../settings.ts'
import { sleep as realSleep, type Sleep } from '../sleep.ts'
import { CallerError, runAttempt } from './attempt.ts'
import { createBreaker } from './breaker.ts'
import { fitFiles } from './fit-files.ts'
import { isFinal, isOutage } from './outages.ts'
import { createRepairs, type Fittable } from './repairs.ts'
import { createThoughtSplitter } from './thought-tags.ts'

/** Milliseconds before the first retry; each further one waits twice as long. */
const FIRST_BACKOFF_MS = 250

/** Milliseconds; a provider that asks for more is not waited for. */
const LONGEST_RETRY_AFTER_MS = 20_000

export type GenerateOptions = {
  /** The model that was asked for, then the fallbacks in order. */
  chain: readonly ChainLink[]
  /** What this request does to its provider counts against this caller first, and against others late. */
  caller: ModelCaller
  /** `settings.timeouts` goes before the timeouts of the constructor. */
  request: Omit<ModelRequest, 'attempt' | 'caller'>
  onText(text: string): void
  /** The words of thoughts, which are no part of the reply; those of an attempt that failed included. */
  onThought?(text: string): void
  /** All text so far of this call was a thought. */
  onWasThought?(): void
  /**
   * Says before each attempt how many tokens its reply may have at most, or why it may not be made: then nothing more is.
   * Absent, an attempt has what the settings say.
   */
  admit?(attempt: UpcomingAttempt): Promise<number | ModelError>
  /** Says which model it is that answers, just before its first text. */
  onFirstToken?(answering: { aiSystem: string; model: string }): void
}

export type Resilience = {
  /**
   * Asks one model after the other until one answers. A failure before the first text is tried again (up to `retries`
   * times, after a jittered pause that doubles, or the one the provider asked for) if that makes sense, and then the next
   * of the chain gets its turn; after the first text nothing is tried again. Our own timeouts are not tried again at the
   * same model: it has had its time. Fails with the last error that came from a provider. Rejects only with what
   * `onText` threw, or `admit`.
   */
  generate(options: GenerateOptions): Promise<CallOutcome>
}

export type ResilienceOptions = {
  registry: Pick<ModelRegistry, 'open'>
  /** For the times of the attempts. */
  clock: Clock
  timeouts?: Partial<TurnTimeouts>
  /** Per model of the chain; 2 by default. */
  retries?: number
  /** 0 to below 1. */
  random?: () => number
  sleep?: Sleep
  /** Milliseconds that only ever grow; measures every timeout. */
  now?: () => number
}

/** How often a request is made acceptable to one model before it is given up: each time another thing was refused. */
const MOST_REPAIRS = 6
/** Names are as callers write them. */
const MOST_REMEMBERED = 10_000

/** Nobody was asked. */
const UNASKED: readonly ModelErrorKind[] = ['not_configured', 'unavailable', 'unaffordable']

/** One for the whole server: it holds the breaker. */
export function createResilience(options: ResilienceOptions): Resilience {
  const {
    registry,
    clock,
    retries = 2,
    random = Math.random,
    sleep = realSleep,
    now = () => performance.now(),
  } = options
  const defaults: TurnTimeouts = { ...DEFAULT_TIMEOUTS, ...options.timeouts }
  const breaker = createBreaker({ now })
  const repairs = createRepairs()
  /** Models whose thoughts had only an end when they were asked last: their next text is taken for thoughts at first. */
  const withoutBeginning = new Set<string>()

  function rememberBeginning(name: string, isMissing: boolean): void {
    if (!isMissing) withoutBeginning.delete(name)
    else if (withoutBeginning.size < MOST_REMEMBERED) withoutBeginning.add(name)
  }

  async function generate({
    chain,
    caller,
    request,
    onText,
    onThought,
    onWasThought,
    admit,
    onFirstToken,
  }: GenerateOptions): Promise<CallOutcome> {
    const timeouts = { ...defaults, ...request.settings.timeouts }
    const deadline = now() + timeouts.totalMs
    const attempts: Attempt[] = []
    const errors: ModelError[] = []
    let callsMade = 0

    /** Null when the next of the chain is to be asked. */
    async function askUntilSettled(link: ChainLink): Promise<CallOutcome | null> {
      let repaired = 0
      for (let retry = 0; ; retry++) {
        const { model, error, attempt, sent } = await askOnce(link)
        attempts.push(attempt)
        if (error === null) return { ok: true, ...model, attempts }
        errors.push(error)
        if (attempt.firstTokenAt !== null || isFinal(error)) return failure()
        if (
          repaired < MOST_REPAIRS &&
          sent &&
          now() < deadline &&
          repairs.learn(error, sent, attempt, link === chain.at(-1))
        ) {
          repaired++
          retry--
          continue
        }
        const waitMs = retry < retries && error.retryable ? pauseBefore(retry, error) : null
        if (waitMs === null || now() + waitMs >= deadline) return null
        await sleep(waitMs, request.signal).catch(() => {})
        if (request.signal.aborted) return failure()
      }
    }

    async function askOnce(link: ChainLink) {
      const attempt: Attempt = {
        ...link,
        startedAt: clock(),
        firstTokenAt: null,
        endedAt: 0,
        outcome: 'completed',
        error: null,
        usage: null,
      }
      let sent: Fittable | null = null
      try {
        const model = await registry.open(link.aiSystem, link.model)
        attempt.aiSystem = model.aiSystem
        attempt.model = model.model
        sent = repairs.fit(
          { ...request, messages: fitFiles(request.messages, model, request.settings.attachments) },
          model,
        )
        const result = await call(model, attempt, sent)
        attempt.usage = result.usage
        if (result.rawFinishReason !== undefined)
          attempt.finishReason = printableLine(result.rawFinishReason).slice(0, 200)
        if (result.citations !== undefined) attempt.citations = result.citations
        attempt.endedAt = clock()
        return { model: { aiSystem: model.aiSystem, model: model.model, result }, error: null, attempt, sent }
      } catch (thrown) {
        if (!(thrown instanceof ModelError)) throw thrown
        // Every error of a provider passes here before anybody sees it: callers, the record of the run, the log.
        attempt.endedAt = clock()
        const error = await discreet(thrown, request)
        attempt.outcome = error.kind
        attempt.error = error.message
        if (attempt.firstTokenAt !== null || error.mayHaveCost) attempt.mayHaveCost = true
        return { model: null, error, attempt, sent }
      }
    }

    async function call(model: Model, attempt: Attempt, sent: Fittable): Promise<ModelResult> {
      const label = labelOf(model.aiSystem)
      const { messages } = sent
      // Where nobody counts, nothing is waited for.
      const admitted =
        admit && (await admit({ aiSystem: model.aiSystem, model: model.model, messages, made: attempts }))
      if (admitted instanceof ModelError) throw admitted
      const settings = admitted === undefined ? sent.settings : paidFor(sent, admitted)
      // The settings name one account of each system, so the system stands for the account.
      const { organizationId, keyId, conversationId } = caller
      const entered = breaker.enter([`${model.aiSystem} ${model.model}`, organizationId, keyId ?? '', conversationId])
      if ('waitMs' in entered) {
        const message = `${label} has failed too often in a row and is left alone for a moment`
        throw new ModelError('unavailable', message, { aiSystem: model.aiSystem, retryAfterMs: entered.waitMs })
      }
      const { admission } = entered
      let hasThought = false
      const takeText = (text: string) => {
        if (attempt.firstTokenAt === null) {
          attempt.firstTokenAt = clock()
          admission.began()
          onFirstToken?.({ aiSystem: model.aiSystem, model: model.model })
        }
        onText(text)
      }
      const name = `${model.aiSystem} ${model.model}`
      const splitter = createThoughtSplitter(
        {
          onText: takeText,
          onThought(text) {
            hasThought = true
            onThought?.(text)
          },
          onWasThought() {
            attempt.firstTokenAt = null
            onWasThought?.()
          },
        },
        withoutBeginning.has(name),
      )
      const numbered = { ...request, ...sent, caller, settings, attempt: callsMade++ }
      try {
        const result = await runAttempt({
          model,
          label,
          request: numbered,
          timeouts,
          deadline,
          now,
          onText: splitter.push,
          onThought(text) {
            hasThought = true
            admission.began()
            splitter.leaveText()
            onThought?.(text)
          },
        })
        splitter.flush()
        admission.succeeded()
        rememberBeginning(name, splitter.hadNoBeginning())
        const tagged = splitter.tagged()
        if (tagged === null) return result
        const { aiSystem } = model
        return { ...result, thoughts: { aiSystem, model: model.model, ...result.thoughts, tagged } }
      } catch (error) {
        if (hasThought) attempt.mayHaveCost = true
        if (error instanceof ModelError && isOutage(error, timeouts, defaults)) admission.failed()
        else admission.released()
        throw error
      }
    }

    function pauseBefore(retry: number, error: ModelError): number | null {
      const asked = error.retryAfterMs ?? 0
      if (asked > LONGEST_RETRY_AFTER_MS) return null
      // Half of it is chance, so that those who failed together do not come back together.
      const backoff = FIRST_BACKOFF_MS * 2 ** retry * (0.5 + random() / 2)
      return Math.max(asked, backoff)
    }

    function failure(): CallOutcome {
      if (request.signal.aborted) return { ok: false, error: aborted(), attempts }
      // A fallback that is not configured is no explanation of what happened.
      const asked = errors.findLast(({ kind }) => !UNASKED.includes(kind))
      return { ok: false, error: asked ?? errors[0] ?? nobodyToAsk(), attempts }
    }

    function aborted(): ModelError {
      const last = errors.at(-1)
      if (last?.kind === 'aborted') return last
      const aiSystem = attempts.at(-1)?.aiSystem ?? chain[0]?.aiSystem ?? 'default'
      return abortedError({ aiSystem, label: labelOf(aiSystem) }, request.signal.reason)
    }

    try {
      for (const link of chain) {
        if (request.signal.aborted) break
        const outcome = await askUntilSettled(link)
        if (outcome !== null) return outcome
      }
      return failure()
    } catch (error) {
      throw error instanceof CallerError ? error.cause : error
    }
  }

  return { generate }
}

/** A reply that is paid for, and as long as the model takes. */
function paidFor({ settings, dialect }: Fittable, admitted: number): ModelSettings {
  if (dialect?.without.includes('max_tokens')) return settings
  return { ...settings, maxTokens: Math.min(admitted, settings.maxTokens ?? admitted) }
}

function nobodyToAsk(): ModelError {
  return new ModelError('not_configured', 'No model was named', { aiSystem: 'default' })
}

function labelOf(aiSystem: string): string {
  const known = parseAiSystem(aiSystem)
  return known === null ? aiSystem : AI_SYSTEM_FACTS[known].label
}
