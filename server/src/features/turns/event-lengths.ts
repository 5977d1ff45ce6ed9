/**
 * Where the events of a reply begin and end. Event n of a run always carries the same text, also when it is replayed
 * years later, so the lengths are kept beside the text: in UTF-16 units, separated by spaces. A repetition is written
 * once with its count (`3x12`), which makes a reply of equal pieces a few bytes long.
 */
export function encodeLengths(lengths: readonly number[]): string {
  const parts: string[] = []
  for (let i = 0; i < lengths.length; ) {
    let end = i + 1
    while (end < lengths.length && lengths[end] === lengths[i]) end++
    parts.push(end - i === 1 ? `${lengths[i]}` : `${lengths[i]}x${end - i}`)
    i = end
  }
  return parts.join(' ')
}

/** What {@link encodeLengths} wrote. */
export function decodeLengths(encoded: string): number[] {
  if (encoded === '') return []
  return encoded.split(' ').flatMap((part) => {
    const [length, count] = part.split('x')
    return new Array<number>(Number(count ?? 1)).fill(Number(length))
  })
}

/** Cuts a text into its events. Throws when the lengths are not those of the text: the stored reply is damaged. */
export function splitEvents(text: string, lengths: readonly number[]): string[] {
  const events: string[] = []
  let from = 0
  for (const length of lengths) {
    events.push(text.slice(from, from + length))
    from += length
  }
  if (from !== text.length) throw new Error(`a reply of ${text.length} units has events of ${from}`)
  return events
}
