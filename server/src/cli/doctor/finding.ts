/** What the doctor found out about one thing. Only `broken` makes the examination fail. */
export type Finding = {
  state: 'ok' | 'note' | 'broken'
  /** What it is about, in a word or two. */
  subject: string
  /** A sentence. */
  text: string
}

export const ok = (subject: string, text: string): Finding => ({ state: 'ok', subject, text })
export const note = (subject: string, text: string): Finding => ({ state: 'note', subject, text })
export const broken = (subject: string, text: string): Finding => ({ state: 'broken', subject, text })
