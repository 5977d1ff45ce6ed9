import { type Behaviour, chatChunk, type ProviderServer } from '../../support/provider-server.ts'
import { createLedger, type Ledger } from './ledger.ts'
import { idOf, open, readBlocks } from './wire.ts'
import { createConversation, until } from './world.ts'

/** Turns that cannot end by themselves, and what reads them: it ends with the server. */
export type HeldTurns = { ledgers: Ledger[]; over: Promise<unknown> }

const CHAT = '/v1/chat/completions'

/**
 * Begins two turns and gives them back when they stand where a blow must find them: one that is to be restarted and
 * whose model has not answered, one whose reply has begun. No other turn may be under way meanwhile.
 */
export async function holdTurns(url: string, provider: ProviderServer): Promise<HeldTurns> {
  const restarted = await hold(url, provider, 'restart', { isSilent: true })
  await until('the silent model has been asked', async () => provider.requests.length > restarted.asked)

  let hasBegun = false
  const begin = chatChunk([{ index: 0, delta: { role: 'assistant', content: 'It begins' }, finish_reason: null }])
  const streaming: Behaviour = { headers: { 'content-type': 'text/event-stream' }, pieces: [begin], ending: 'hang' }
  const interrupted = await hold(url, provider, 'keep', streaming, () => {
    hasBegun = true
  })
  await until('the reply has begun', async () => hasBegun)
  return {
    ledgers: [restarted.ledger, interrupted.ledger],
    over: Promise.all([restarted.over, interrupted.over]),
  }
}

async function hold(
  url: string,
  provider: ProviderServer,
  onCrash: 'keep' | 'restart',
  behaviour: Behaviour,
  onEvent = () => {},
) {
  const ledger = createLedger(await createConversation(url))
  const said = ledger.say(`held-${onCrash}.`, { onCrash })
  const asked = provider.requests.length
  provider.script([behaviour], CHAT)
  const path = `/conversations/${ledger.conversationId}/chat-sse?onCrash=${onCrash}`
  const opening = open(url, { method: 'PATCH', path, body: { message: said.text } })
  const over = opening
    .then(({ response }) =>
      readBlocks(response, (block) => {
        ledger.acknowledge(said)
        ledger.hearBlock(block)
        if (idOf(block)) onEvent()
      }),
    )
    // One without a text has no head yet when the server goes.
    .catch(() => {})
  return { ledger, asked, over }
}
