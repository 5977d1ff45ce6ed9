/**
 * Puts the lines of a paste together: the terminal says where one begins and ends, and what the person then adds up to the
 * Enter key belongs to it, so that a text with several lines is one message and is sent when it was looked at.
 */
export function collectLines() {
  const held: string[] = []
  let isPasting = false
  return {
    begin(): void {
      isPasting = true
    },
    end(): void {
      isPasting = false
    },
    /** The lines of a paste that wait for the Enter key. */
    held: (): readonly string[] => held,
    forget(): void {
      held.length = 0
    },
    /** A line that has ended. Returns everything that was entered with it, or null while the paste goes on. */
    add(line: string): string | null {
      held.push(line)
      return isPasting ? null : held.splice(0).join('\n')
    },
  }
}
