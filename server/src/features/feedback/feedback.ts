/** What somebody thinks of one message. */
export type Feedback = {
  id: string
  /** -10 to 10. */
  score: number
  comments: string | null
  tags: string[] | null
  /** How sure the giver is, 0 to 1. */
  scoreConfidence: number | null
  createdAt: number
}
