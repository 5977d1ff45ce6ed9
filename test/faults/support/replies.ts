import { type Behaviour, chatReply, type ProviderServer } from '../../support/provider-server.ts'
import type { Random } from './random.ts'

export type Mood = 'quick' | 'varied' | 'slow'

/** Lets a provider give every request a reply of its own: quick and short, of any length, or after a long pause. */
export function answerWithChance(provider: ProviderServer, random: Random, mood: () => Mood): void {
  let count = 0
  provider.always({
    headers: { 'content-type': 'text/event-stream' },
    // Read once for each request.
    get pieces() {
      const name = `reply-${++count}`
      if (mood() === 'quick') return piecesOf(chatReply([name, ' is', ' short']))
      if (mood() === 'slow') return [{ waitMs: 1_000 }, ...piecesOf(chatReply([name]))]
      const tokens = Array.from({ length: random.integer(0, 40) }, (_, i) => ` word-${i}`)
      const pause = random.chance(50) ? [{ waitMs: random.integer(50, 600) }] : []
      return [...pause, ...piecesOf(chatReply([name, ...tokens], { delayMs: random.integer(0, 15) }))]
    },
  })
}

function piecesOf(behaviour: Behaviour): NonNullable<Behaviour['pieces']> {
  return behaviour.pieces ?? []
}

type Sent = { messages?: { role: string; content: unknown }[] }

/** What a strict provider would refuse in the requests it has got; empty when it would refuse nothing. */
export function findUnacceptable(provider: ProviderServer): string[] {
  return provider.requests
    .filter(({ path }) => path.endsWith('/chat/completions'))
    .flatMap(({ body }) => {
      const messages = (body as Sent).messages ?? []
      const talk = messages[0]?.role === 'system' ? messages.slice(1) : messages
      const isInTurn = talk.every(({ role }, i) => role === (i % 2 === 0 ? 'user' : 'assistant'))
      const isFull = messages.every(({ content }) => typeof content === 'string' && content.trim() !== '')
      const endsWithUser = talk.at(-1)?.role === 'user'
      return isInTurn && isFull && endsWithUser ? [] : [JSON.stringify(messages)]
    })
}
