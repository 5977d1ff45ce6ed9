import type { Facts, Stage } from './facts.ts'
import { check } from './throughput.ts'

/** The first conversation warms up. */
const CONVERSATIONS = 3
const TALKS = [
  { name: 'whole1000', messages: 1_000, how: 'whole' },
  { name: 'window1000', messages: 1_000, how: 'window' },
  { name: 'window10000', messages: 10_000, how: 'window' },
] as const

/** One user in long conversations: how long a turn takes, and how many messages the model was sent. */
export async function measureHistory({ load, server, provider, times, complain }: Stage): Promise<Facts> {
  const facts: Facts = {}
  for (const { name, messages, how } of TALKS) {
    const talk = await server.talk(messages, how, CONVERSATIONS)
    if (talk === null) continue
    const measured = await load.do({ kind: 'history', ...talk, turns: times.talkTurns })
    check(name, measured, complain)
    const { messages: sent } = await provider.lastRequest()
    if (how === 'whole' && sent < messages) complain(`${name}: the model was sent only ${sent} messages`)
    if (how === 'window' && (sent < 3 || sent >= messages)) complain(`${name}: the model was sent ${sent} messages`)
    facts[`history.${name}.p50`] = measured.total.p50
    facts[`history.${name}.p99`] = measured.total.p99
    facts[`history.${name}.sent`] = sent
  }
  return facts
}
