import { livesOn } from './audit.ts'
import type { Ledger, Said } from './ledger.ts'
import { call, idOf, open, readBlocks } from './wire.ts'

type Message = { role: string; content: string; conversationRunId: string }

/**
 * What a client does that never heard how its request went: it sends it once more, with the same key. Says what has
 * gone wrong; a message that was stored must not be stored again, and one that was not must be now.
 */
export async function resendAll(url: string, ledger: Ledger): Promise<string[]> {
  const problems: string[] = []
  for (const said of ledger.said) {
    if (said.resend === null) continue
    const { path, key } = said.resend
    said.resend = null
    problems.push(...(await resend(url, ledger, said, path, key)))
  }
  return problems
}

async function resend(url: string, ledger: Ledger, said: Said, path: string, key: string): Promise<string[]> {
  const before = await readMessages(url, ledger.conversationId)
  const stored = before.find(({ content }) => content === said.text)
  // Edited since then: it is for the edit to be there.
  if (!stored && livesOn(ledger, before, said)) return []
  // A run that has ended without text has given its key back, and the message may be sent again.
  if (stored && !(await hasText(url, ledger.conversationId, stored.conversationRunId))) return []

  const headers = { 'idempotency-key': key }
  const opened = await open(url, { method: 'PATCH', path, body: { message: said.text }, headers })
  const runs = new Set<string>()
  await readBlocks(opened.response, (block) => runs.add(idOf(block)?.runId ?? ''))
  runs.delete('')
  if (opened.status !== 200) return [`resent ${said.text} was answered with ${opened.status}`]
  ledger.acknowledge(said)
  const problems: string[] = []
  if (stored && (runs.size !== 1 || !runs.has(stored.conversationRunId))) {
    problems.push(`resent ${said.text} ran as ${[...runs].join(', ')} and not as ${stored.conversationRunId}`)
  }
  const after = await readMessages(url, ledger.conversationId)
  const count = after.filter(({ content }) => content === said.text).length
  if (count !== 1) problems.push(`resent ${said.text} is there ${count} times`)
  if (stored && after.length !== before.length) problems.push(`resent ${said.text} has changed the conversation`)
  return problems
}

async function readMessages(url: string, id: string): Promise<Message[]> {
  return (await call(url, 'GET', `/conversations/${id}`)).body['chatMessages'] as Message[]
}

async function hasText(url: string, id: string, runId: string): Promise<boolean> {
  const messages = await readMessages(url, id)
  return messages.some(({ role, conversationRunId }) => role === 'assistant' && conversationRunId === runId)
}
