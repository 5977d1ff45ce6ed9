import { setTimeout as wait } from 'node:timers/promises'
import type { Heard, Ledger, Said } from './ledger.ts'
import { emptyTally, type Tally } from './tally.ts'
import { type Block, call, dataOf, type Item, idOf, open, readBlocks } from './wire.ts'
import { PATIENCE_MS } from './world.ts'

type Usage = { prompt_tokens: number; completion_tokens: number }
type Run = {
  runId: string
  kind: string
  status: string
  finishReason: string | null
  userMessageId: string
  messageId: string
  usage: Usage
  restarts: number
  endedAt: string | null
}
type Message = { role: string; content: string; messageId: string; conversationRunId: string }
type Conversation = {
  chatMessages: Message[]
  chatMessagesCount: number
  promptTokens: number
  completionTokens: number
}
type Replayed = Run & { text: string; blocks: Block[] }

export type Verdict = { tally: Tally; restarted: number; interrupted: number; problems: string[] }

/** Waits until every run of a conversation has ended; gives back how many have not. */
async function waitForEnds(url: string, id: string): Promise<{ runs: Run[]; stuck: Run[] }> {
  for (const deadline = Date.now() + PATIENCE_MS; ; ) {
    const runs = await listRuns(url, id)
    const stuck = runs.filter(({ endedAt, status }) => endedAt === null || /running|accepted/.test(status))
    if (stuck.length === 0 || Date.now() > deadline) return { runs, stuck }
    await wait(50)
  }
}

async function listRuns(url: string, id: string): Promise<Run[]> {
  const runs: Run[] = []
  for (let token = ''; ; ) {
    const query = `pageSize=100${token === '' ? '' : `&continuationToken=${encodeURIComponent(token)}`}`
    const { status, body, text } = await call(url, 'GET', `/conversations/${id}/runs?${query}`)
    if (status !== 200) throw new Error(`the runs cannot be read: ${status} ${text}`)
    runs.push(...(body['data'] as Run[]))
    token = (body['continuationToken'] as string | null) ?? ''
    if (token === '') return runs.reverse()
  }
}

/**
 * Holds what the server has against what its clients know. `isLocal`: the server has lived all the time, and only turns
 * of servers that died are restarted.
 */
export async function audit(url: string, ledger: Ledger, { isLocal = false } = {}): Promise<Verdict> {
  const { conversationId: id } = ledger
  const tally = emptyTally()
  const problems = [...ledger.complaints]
  const lost = (what: string) => {
    tally.lost++
    problems.push(`lost: ${what}`)
  }
  const duplicated = (what: string) => {
    tally.duplicated++
    problems.push(`duplicated: ${what}`)
  }

  const { runs, stuck } = await waitForEnds(url, id)
  tally.turns = runs.length
  tally.stuck = stuck.length
  for (const run of stuck) problems.push(`stuck: ${JSON.stringify(run)}`)

  const { body } = await call(url, 'GET', `/conversations/${id}`)
  const conversation = body as unknown as Conversation
  const messages = conversation.chatMessages.filter(({ role }) => role !== 'system')
  const replayed: Replayed[] = []
  for (const run of runs) replayed.push(await replay(url, id, run))

  checkSaid()
  for (const [runId, heard] of ledger.heard) await checkHeard(runId, heard)
  checkTranscript()
  if (!isLocal) checkRestarts()
  checkTotals()
  return {
    tally,
    problems,
    restarted: runs.filter(({ restarts }) => restarts > 0).length,
    interrupted: runs.filter(({ status }) => status === 'interrupted').length,
  }

  /** Every acknowledged message once, or what was put in its place; in the order in which they were acknowledged. */
  function checkSaid(): void {
    const at = (said: Said) => messages.findIndex(({ content }) => content === said.text)
    for (const said of ledger.said) {
      const count = messages.filter(({ content }) => content === said.text).length
      if (count > 1) duplicated(`${said.text} is there ${count} times`)
      if (said.acknowledgedAt !== null) {
        tally.acknowledged++
        if (!livesOn(ledger, messages, said)) lost(said.text)
      }
      if (said.edits && at(said) !== -1 && at(said.edits) !== -1) duplicated(`${said.edits.text} beside its edit`)
    }
    for (const one of ledger.said) {
      for (const other of ledger.said) {
        const isBefore = one.acknowledgedAt !== null && one.acknowledgedAt < other.begunAt
        if (isBefore && at(one) !== -1 && at(other) !== -1 && at(one) > at(other)) {
          problems.push(`order: ${other.text} stands before ${one.text}`)
        }
      }
    }
  }

  /** What was heard of a run is what is replayed, and behind the last event that was heard comes exactly the rest. */
  async function checkHeard(runId: string, heard: Heard): Promise<void> {
    const run = replayed.find((one) => one.runId === runId)
    if (!run) return lost(`run ${runId}`)
    for (const [n, block] of heard.blocks) {
      if (run.blocks[n] !== block) lost(`event ${n} of ${runId}: "${block}" became "${run.blocks[n]}"`)
    }
    for (const [n, data] of heard.data) {
      if (dataOf(run.blocks[n] ?? '') !== data) lost(`item ${n} of ${runId}: "${data}" became "${run.blocks[n]}"`)
    }
    if (heard.whole !== null) {
      tally.acknowledged++
      if (run.text !== heard.whole) lost(`the reply of ${runId}: "${heard.whole}" became "${run.text}"`)
    }
    if (heard.isInterrupted && run.status !== 'interrupted') problems.push(`${runId} is ${run.status} after all`)
    if (heard.receipt) {
      tally.acknowledged++
      const { status, textLength } = heard.receipt
      if (run.status !== status || run.text.length !== textLength) lost(`the receipt of ${runId}`)
    }
    const last = Math.max(-1, ...heard.blocks.keys())
    if (last >= 0) {
      tally.acknowledged++
      const rest = await readEvents(url, id, runId, { 'last-event-id': `${runId}:${last}` })
      const behind = run.blocks.slice(last + 1)
      // Whoever has read the end is told with 204 that nothing more will come.
      const wanted = behind[0] === 'data: [DONE]' ? [] : behind
      if (JSON.stringify(rest) !== JSON.stringify(wanted)) {
        problems.push(`the rest of ${runId} after ${last} is ${rest.join('|')} and not ${wanted.join('|')}`)
      }
    }
  }

  /** To each message of the user the last reply that was given to it, with the text of the run, and nothing else. */
  function checkTranscript(): void {
    const wanted = messages
      .filter(({ role }) => role === 'user')
      .flatMap((message) => {
        const answers = replayed.filter(
          (run) => run.userMessageId === message.messageId && (run.text !== '' || run.status === 'completed'),
        )
        const last = answers.at(-1)
        return last ? [message.content, `${last.runId} ${last.text}`] : [message.content]
      })
    // In the order of the talk a reply may stand behind messages that were sent while it was under way.
    const found = messages.map((message) =>
      message.role === 'user' ? message.content : `${message.conversationRunId} ${message.content}`,
    )
    const left = [...found].sort()
    const right = [...wanted].sort()
    if (JSON.stringify(left) === JSON.stringify(right)) return
    for (const one of right) if (!left.includes(one)) lost(`"${one}" from the transcript`)
    for (const one of left) if (!right.includes(one)) problems.push(`"${one}" is too much in the transcript`)
    if (new Set(left).size !== left.length) duplicated('a message of the transcript')
  }

  /** A run that had said nothing is restarted if that was asked for, once, and no other is. */
  function checkRestarts(): void {
    for (const run of replayed) {
      const message = messages.find(({ messageId }) => messageId === run.userMessageId)
      const said = ledger.said.find(({ text }) => text === message?.content)
      if (!said || run.kind === 'regenerate') continue
      const isAsked = said.onCrash === 'restart'
      if (run.restarts > (isAsked ? 1 : 0)) duplicated(`run ${run.runId} was restarted ${run.restarts} times`)
      if (isAsked && run.restarts === 0 && run.status === 'interrupted' && run.text === '') {
        problems.push(`run ${run.runId} should have been restarted`)
      }
    }
  }

  function checkTotals(): void {
    const sum = (of: (usage: Usage) => number) => runs.reduce((total, { usage }) => total + of(usage), 0)
    const { promptTokens, completionTokens, chatMessages, chatMessagesCount } = conversation
    if (promptTokens !== sum((usage) => usage.prompt_tokens)) problems.push('promptTokens is not the sum of the runs')
    if (completionTokens !== sum((usage) => usage.completion_tokens)) {
      problems.push('completionTokens is not the sum of the runs')
    }
    if (chatMessagesCount !== chatMessages.length) problems.push('chatMessagesCount is not how many there are')
  }
}

/** Whether a text is there, or one that was put in its place. */
export function livesOn(ledger: Ledger, messages: readonly { content: string }[], said: Said): boolean {
  const isThere = messages.some(({ content }) => content === said.text)
  return isThere || ledger.said.some((other) => other.edits === said && livesOn(ledger, messages, other))
}

async function replay(url: string, id: string, run: Run): Promise<Replayed> {
  const blocks = await readEvents(url, id, run.runId)
  const items = blocks.filter((block) => idOf(block) && !block.includes('event: error'))
  const text = items.map((block) => (JSON.parse(dataOf(block)) as Item).choice.message.content).join('')
  return { ...run, text, blocks }
}

/** All events, in order, and the end as the last of them; none for a run that has ended without text. */
async function readEvents(
  url: string,
  id: string,
  runId: string,
  headers: Record<string, string> = {},
): Promise<Block[]> {
  const opened = await open(url, { method: 'GET', path: `/conversations/${id}/runs/${runId}/events`, headers })
  const blocks: Block[] = []
  await readBlocks(opened.response, (block) => blocks.push(block))
  return opened.status === 200 ? blocks : []
}
