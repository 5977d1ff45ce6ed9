import { type DestinationStream, destination } from 'pino'
import { printableJson } from '../text/printable.ts'

/**
 * Where the lines of the log go: standard output, all lines of one turn of the event loop in one write, because
 * under load the write is what costs most of a line. The process writes what is left when it ends, also by a fault.
 */
export function openLogLines(): DestinationStream {
  const output = destination({ dest: 1, sync: true })
  let lines = ''

  function flush(): void {
    const written = lines
    lines = ''
    // What callers and providers have said stands in some lines, and people read them in terminals.
    if (written !== '') output.write(printableJson(written))
  }

  process.on('exit', flush)
  return {
    write(line) {
      if (lines === '') setImmediate(flush)
      lines += line
    },
  }
}
