/** Cuts a list into parts of up to `most` together, in order; what is larger by itself is a part of its own. */
export function cutBySize<T>(items: readonly T[], most: number, sizeOf: (item: T) => number): T[][] {
  const parts: T[][] = []
  let room = 0
  for (const item of items) {
    const size = sizeOf(item)
    const part = parts.at(-1)
    if (part === undefined || size > room) {
      parts.push([item])
      room = most - size
    } else {
      part.push(item)
      room -= size
    }
  }
  return parts
}
