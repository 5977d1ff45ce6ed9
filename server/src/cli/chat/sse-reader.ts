export type SseEvent = { event: string | null; data: string }

/** Reads server-sent events as they come, https://html.spec.whatwg.org/multipage/server-sent-events.html. Comments are dropped. */
export async function* readSse(body: AsyncIterable<Uint8Array>): AsyncGenerator<SseEvent> {
  let event: string | null = null
  let data: string[] = []
  for await (const line of readLines(body)) {
    if (line === '') {
      // An event that was cut off before its empty line is no event.
      if (data.length > 0) yield { event, data: data.join('\n') }
      event = null
      data = []
      continue
    }
    const { field, value } = splitField(line)
    if (field === 'data') data.push(value)
    else if (field === 'event') event = value
  }
}

function splitField(line: string): { field: string; value: string } {
  const colon = line.indexOf(':')
  if (colon === -1) return { field: line, value: '' }
  const start = line[colon + 1] === ' ' ? colon + 2 : colon + 1
  return { field: line.slice(0, colon), value: line.slice(start) }
}

/** Lines that have ended, without their ends: LF, CR LF or CR, which may come in two pieces. */
async function* readLines(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const bytes of body) {
    rest += decoder.decode(bytes, { stream: true })
    // A CR at the very end may be the first half of CR LF.
    const lines = rest.split(/\r\n|\n|\r(?!$)/)
    rest = lines.pop() ?? ''
    yield* lines
  }
  if (rest.endsWith('\r')) yield rest.slice(0, -1)
}
