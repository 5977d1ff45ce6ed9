import type { Ledger, Said } from './ledger.ts'
import type { Random } from './random.ts'
import { type Answer, type Call, call, dataOf, type Open, open, readBlocks, readText, splitArray } from './wire.ts'

/** What an action needs to know of the server that it plays with. */
export type Stage = {
  url: string
  random: Random
  /** True once the server has been struck: from then on broken connections are what is to be expected. */
  isStruck(): boolean
}

type Message = { role: string; content: string; messageId: string }

/** Starts a conversation with a first message, streamed, and reads the reply. */
export async function createAndSend(stage: Stage, makeLedger: (id: string) => Ledger): Promise<Ledger | null> {
  const text = newText(stage.random)
  const body = { aiSystem: 'openai-compatible', model: 'm', systemMessage: 'Be short.', message: text, stream: true }
  const opened = await tryOpen(stage, null, { method: 'POST', path: '/conversations', body })
  if (!opened) return null
  let ledger: Ledger | null = null
  let said: Said | null = null
  const blocks: string[] = []
  await readBlocks(opened.response, (block) => {
    blocks.push(block)
    if (!ledger && block.startsWith('event: conversation')) {
      ledger = makeLedger((JSON.parse(dataOf(block)) as { conversationId: string }).conversationId)
      said = ledger.say(text)
      // The conversation is told with the first event: by then the message is stored.
      ledger.acknowledge(said)
    }
    ledger?.hearBlock(block)
  })
  return ledger
}

/** One thing that a client does, to its end or to the server's. */
export async function act(stage: Stage, ledger: Ledger): Promise<void> {
  const { random } = stage
  const actions = [stream, stream, array, whole, cancel, regenerate, edit, crowd, interrupt, vanishAndReturn] as const
  await random.pick(actions as readonly [typeof stream, ...(typeof stream)[]])(stage, ledger)
}

async function stream(stage: Stage, ledger: Ledger): Promise<void> {
  const onCrash = stage.random.chance(50) ? 'restart' : 'keep'
  const said = ledger.say(newText(stage.random), { onCrash })
  const path = `/conversations/${ledger.conversationId}/chat-sse?onCrash=${onCrash}`
  const key = `key of ${said.text} ${ledger.conversationId}`
  said.resend = { path, key }
  const call = { method: 'PATCH', path, body: { message: said.text }, headers: { 'idempotency-key': key } }
  await readStream(await tryOpen(stage, ledger, call), ledger, said)
}

async function array(stage: Stage, ledger: Ledger): Promise<void> {
  const said = ledger.say(newText(stage.random))
  const opened = await send(stage, ledger, 'continue', said)
  if (!opened) return
  ledger.acknowledge(said)
  let text = ''
  opened.response.setEncoding('utf8')
  try {
    for await (const piece of opened.response) text += piece
  } catch {
    // What has come has come.
  }
  for (const [n, item] of splitArray(text).entries()) ledger.hearItem(item, n)
}

async function whole(stage: Stage, ledger: Ledger): Promise<void> {
  const onCrash = stage.random.chance(50) ? 'restart' : 'keep'
  const said = ledger.say(newText(stage.random), { onCrash })
  await readWhole(await send(stage, ledger, `chat?onCrash=${onCrash}`, said), ledger, said)
}

async function cancel(stage: Stage, ledger: Ledger): Promise<void> {
  const said = ledger.say(newText(stage.random))
  const opened = await send(stage, ledger, 'chat-sse', said)
  if (!opened) return
  ledger.acknowledge(said)
  const runId = String(opened.headers['x-dramatis-run-id'])
  const after = stage.random.integer(1, 8)
  let receipt: Promise<void> | undefined
  let count = 0
  await readBlocks(opened.response, (block) => {
    ledger.hearBlock(block)
    if (++count === after) receipt = takeReceipt(stage, ledger, runId)
  })
  await receipt
}

async function takeReceipt(stage: Stage, ledger: Ledger, runId: string): Promise<void> {
  const path = `/conversations/${ledger.conversationId}/runs/${runId}/cancel`
  const answer = await tryCall(stage, ledger, { method: 'POST', path })
  if (!answer) return
  ledger.hear(runId).receipt = answer.body as unknown as { status: string; textLength: number }
}

async function regenerate(stage: Stage, ledger: Ledger): Promise<void> {
  const path = `/conversations/${ledger.conversationId}/regenerate`
  if (stage.random.chance(50)) {
    await readWhole(await tryOpen(stage, ledger, { method: 'POST', path }), ledger, null)
  } else {
    const headers = { accept: 'text/event-stream' }
    await readStream(await tryOpen(stage, ledger, { method: 'POST', path, headers }), ledger, null)
  }
}

async function edit(stage: Stage, ledger: Ledger): Promise<void> {
  const { conversationId } = ledger
  const now = await tryCall(stage, ledger, { method: 'GET', path: `/conversations/${conversationId}` })
  const last = (now?.body['chatMessages'] as Message[] | undefined)?.findLast(({ role }) => role === 'user')
  if (!last) return
  const edits = ledger.said.find(({ text }) => text === last.content) ?? null
  const said = ledger.say(newText(stage.random), { edits })
  const path = `/conversations/${conversationId}/messages/${last.messageId}`
  const headers = { accept: 'text/event-stream' }
  const opened = await tryOpen(stage, ledger, { method: 'PATCH', path, headers, body: { content: said.text } })
  await readStream(opened, ledger, said)
}

/** Three at once, which get their turns one after the other. */
async function crowd(stage: Stage, ledger: Ledger): Promise<void> {
  const onCrash = stage.random.chance(50) ? 'restart' : 'keep'
  const sends = Array.from({ length: 3 }, async () => {
    const said = ledger.say(newText(stage.random), { onCrash })
    const path = `chat-sse?onBusy=wait&onCrash=${onCrash}`
    await readStream(await send(stage, ledger, path, said), ledger, said)
  })
  await Promise.all(sends)
}

/** A second message that makes the reply to the first one stop. */
async function interrupt(stage: Stage, ledger: Ledger): Promise<void> {
  const first = ledger.say(newText(stage.random))
  const opened = await send(stage, ledger, 'chat-sse', first)
  if (!opened) return
  const second = ledger.say(newText(stage.random))
  const sent = send(stage, ledger, 'chat-sse?onBusy=interrupt', second)
  await Promise.all([readStream(opened, ledger, first), sent.then((next) => readStream(next, ledger, second))])
}

/** A reader that goes away in the middle and comes back for the rest. */
async function vanishAndReturn(stage: Stage, ledger: Ledger): Promise<void> {
  const said = ledger.say(newText(stage.random))
  const opened = await send(stage, ledger, 'chat-sse', said)
  if (!opened) return
  ledger.acknowledge(said)
  let last = ''
  const enough = stage.random.integer(1, 5)
  await readBlocks(opened.response, (block) => {
    if (ledger.hearBlock(block) !== null) last = /^id: (.*)$/m.exec(block)?.[1] ?? ''
    if (last.endsWith(`:${enough}`)) opened.vanish()
  })
  const [runId] = last.split(':')
  const path = `/conversations/${ledger.conversationId}/runs/${runId}/events`
  const again = await tryOpen(stage, ledger, { method: 'GET', path, headers: { 'last-event-id': last } })
  if (again) await readBlocks(again.response, (block) => ledger.hearBlock(block))
}

/** So many that no two of a conversation are alike. */
function newText(random: Random): string {
  return `message-${random.integer(0, 2 ** 31)}.`
}

function send(stage: Stage, ledger: Ledger, path: string, said: Said): Promise<Open | null> {
  const url = `/conversations/${ledger.conversationId}/${path}`
  return tryOpen(stage, ledger, { method: 'PATCH', path: url, body: { message: said.text } })
}

async function readStream(opened: Open | null, ledger: Ledger, said: Said | null): Promise<void> {
  if (!opened) return
  if (said) ledger.acknowledge(said)
  await readBlocks(opened.response, (block) => ledger.hearBlock(block))
}

async function readWhole(opened: Open | null, ledger: Ledger, said: Said | null): Promise<void> {
  if (!opened) return
  // Null when the connection broke in the middle of the answer.
  const text = await readText(opened.response).catch(() => null)
  if (text === null) return
  if (said) ledger.acknowledge(said)
  const body = JSON.parse(text) as { runId: string; choices: [{ message: { content: string } }] }
  ledger.hear(body.runId).whole = body.choices[0].message.content
}

/** Null when there was no answer to go on with; complains when there should have been one. */
async function tryOpen(stage: Stage, ledger: Ledger | null, what: Call): Promise<Open | null> {
  try {
    const opened = await open(stage.url, what)
    if (opened.status === 200) return opened
    // It had read the end before it went away.
    if (opened.status === 204) return null
    const text = await readText(opened.response)
    const { error } = JSON.parse(text) as { error: { runId?: string } }
    if (ledger && error.runId && /was interrupted/.test(text)) ledger.hear(error.runId).isInterrupted = true
    // An interrupted turn without text answers 503, a cancelled one 499.
    const isOfTheTurn = (opened.status === 503 && /interrupt/.test(text)) || opened.status === 499
    // Where answers get lost, a turn may be running that nobody was told of.
    const isExpected = isOfTheTurn || (stage.isStruck() && [409, 503].includes(opened.status))
    if (!isExpected) ledger?.complaints.push(`${what.method} ${what.path}: ${opened.status} ${text}`)
    return null
  } catch (error) {
    if (!stage.isStruck()) ledger?.complaints.push(`${what.method} ${what.path}: ${String(error)}`)
    return null
  }
}

async function tryCall(stage: Stage, ledger: Ledger, what: Call): Promise<Answer | null> {
  try {
    const answer = await call(stage.url, what.method, what.path, what.body)
    if (answer.status === 200) return answer
    if (stage.isStruck() && answer.status === 503) return null
    ledger.complaints.push(`${what.method} ${what.path}: ${answer.status} ${answer.text}`)
  } catch (error) {
    if (!stage.isStruck()) ledger.complaints.push(`${what.method} ${what.path}: ${String(error)}`)
  }
  return null
}
