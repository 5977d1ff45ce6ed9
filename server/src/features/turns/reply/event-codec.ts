import { parseExactly } from '../../../lib/exact-json.ts'
import type { ReplyEvent, ToolEvent } from './reply-event.ts'

/** Events as they are stored: their texts in a row, and where each begins and ends. */
export type StoredEvents = { text: string; lengths: string }

/**
 * Writes events down. Event n of a run is always the same, also when it is replayed years later, so the lengths are kept
 * beside the text: in UTF-16 units, separated by spaces. A repetition is written once with its count (`3x12`), which
 * makes a reply of equal pieces a few bytes long. A thought is written like a text, with a `~` before its length; that all
 * text of the step was a thought is a `^`; any other event that is no text stands as JSON, its length behind a `!`.
 */
export function encodeEvents(events: readonly ReplyEvent[]): StoredEvents {
  const texts: string[] = []
  const parts: string[] = []
  for (let i = 0; i < events.length; ) {
    const event = events[i] as ReplyEvent
    if (typeof event !== 'string' && event.kind === 'thought') {
      texts.push(event.text)
      parts.push(`~${event.text.length}`)
      i++
      continue
    }
    if (typeof event !== 'string' && event.kind === 'wasThought') {
      parts.push('^')
      i++
      continue
    }
    if (typeof event !== 'string') {
      const text = JSON.stringify(event)
      texts.push(text)
      parts.push(`!${text.length}`)
      i++
      continue
    }
    let end = i
    for (; end < events.length; end++) {
      const next = events[end] as ReplyEvent
      if (typeof next !== 'string' || next.length !== event.length) break
      texts.push(next)
    }
    parts.push(end - i === 1 ? `${event.length}` : `${event.length}x${end - i}`)
    i = end
  }
  return { text: texts.join(''), lengths: parts.join(' ') }
}

/** What {@link encodeEvents} wrote. Throws when the lengths are not those of the text: the stored reply is damaged. */
export function decodeEvents({ text, lengths }: StoredEvents): ReplyEvent[] {
  const events: ReplyEvent[] = []
  let from = 0
  for (const { length, mark } of readLengths(lengths)) {
    const piece = text.slice(from, from + length)
    if (mark === '') events.push(piece)
    else if (mark === '~') events.push({ kind: 'thought', text: piece })
    else if (mark === '^') events.push({ kind: 'wasThought' })
    else events.push(parseExactly(piece) as unknown as ToolEvent)
    from += length
  }
  if (from !== text.length) throw new Error(`a reply of ${text.length} units has events of ${from}`)
  return events
}

/** Whether there are events that are no text. */
export function hasToolEvents(lengths: string): boolean {
  return /[!~^]/.test(lengths)
}

/** How many UTF-16 units of text there are. */
export function textLengthOf(lengths: string): number {
  let [before, ofStep] = [0, 0]
  for (const { length, mark } of readLengths(lengths)) {
    if (mark === '') ofStep += length
    else if (mark === '^') ofStep = 0
    else if (mark === '!') [before, ofStep] = [before + ofStep, 0]
  }
  return before + ofStep
}

type Mark = '' | '!' | '~' | '^'

function readLengths(lengths: string): { length: number; mark: Mark }[] {
  if (lengths === '') return []
  return lengths.split(' ').flatMap((part) => {
    const mark = (/^[!~^]/.exec(part)?.[0] ?? '') as Mark
    const [length, count] = part.slice(mark.length).split('x')
    return new Array(Number(count ?? 1)).fill({ length: Number(length), mark })
  })
}
