import type { Progress } from './hub-store.ts'

const BAR_WIDTH = 30
/** A log gets a line for each so many percent, a terminal a new picture for each one. */
const LOG_STEP = 10

export type ProgressReportOptions = {
  /** The terminal, if there is one. */
  terminal: { write(text: string): unknown } | null
  log(message: string): void
}

/** Shows how far a download is: as a bar on a terminal, else as lines of the log. */
export function createProgressReport({ terminal, log }: ProgressReportOptions): (progress: Progress) => void {
  const shown = new Map<string, number>()
  return ({ id, received, total }) => {
    const percent = total === 0 ? 100 : Math.floor((received / total) * 100)
    const step = terminal === null ? Math.floor(percent / LOG_STEP) : percent
    if (shown.get(id) === step) return
    shown.set(id, step)
    const amount = `${megabytes(received)} of ${megabytes(total)} MB`
    if (terminal === null) return log(`downloading ${id}: ${percent} % (${amount})`)
    const filled = Math.floor((percent / 100) * BAR_WIDTH)
    const bar = `${'#'.repeat(filled)}${'.'.repeat(BAR_WIDTH - filled)}`
    terminal.write(`\r${id} [${bar}] ${percent} % ${amount}${percent === 100 ? '\n' : ''}`)
  }
}

function megabytes(bytes: number): string {
  return (bytes / 1_000_000).toFixed(bytes < 10_000_000 ? 1 : 0)
}
