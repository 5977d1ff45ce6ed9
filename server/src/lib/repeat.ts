/** A task that is done again and again. `stop` resolves when the last one is over. */
export type Repeated = { stop(): Promise<void> }

/**
 * Does `task` every `everyMs` milliseconds, one after the other and never two at a time: what is slow must not be
 * asked faster. A failure goes to `onError` and does not end it. It does not keep the process alive.
 */
export function repeat(task: () => Promise<void>, everyMs: number, onError: (error: unknown) => void): Repeated {
  let isStopped = false
  let timer: NodeJS.Timeout
  let underWay: Promise<void> = Promise.resolve()
  const next = () => {
    timer = setTimeout(() => {
      underWay = task()
        .catch(onError)
        .then(() => {
          if (!isStopped) next()
        })
    }, everyMs)
    timer.unref()
  }
  next()
  return {
    stop() {
      isStopped = true
      clearTimeout(timer)
      return underWay
    },
  }
}
