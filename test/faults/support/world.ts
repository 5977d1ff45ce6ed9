import { setTimeout as wait } from 'node:timers/promises'
import { expect } from 'vitest'
import type { Json } from '../../support/app.ts'
import type { DatabaseKind, TestDatabase } from '../../support/databases.ts'
import { type ProviderServer, startProviderServer } from '../../support/provider-server.ts'
import { type FaultServer, kill, serverEnvironment, startFaultServer } from './server.ts'
import { type Answer, type Block, call, dataOf, type Item, idOf, type Open, open, readBlocks } from './wire.ts'

/** A server in a process of its own, with a database and a provider of its own. */
export type World = {
  place: TestDatabase
  provider: ProviderServer
  env: Record<string, string>
  server: FaultServer
  close(): Promise<void>
}

export async function openWorld(kind: DatabaseKind, extra: Record<string, string> = {}): Promise<World> {
  const place = await kind.create()
  const provider = await startProviderServer()
  const env = serverEnvironment(place, provider.url, extra)
  const world: World = {
    place,
    provider,
    env,
    server: await startFaultServer(env),
    close: async () => {
      // A server that has ended by itself says why in its output, and the test only that nobody answers.
      const { exitCode } = world.server
      if (exitCode !== null && exitCode > 0) console.error(world.server.output.slice(-4_000))
      await kill(world.server)
      await provider.close()
      await place.remove()
    },
  }
  return world
}

/** A new conversation with the provider's model. */
export async function createConversation(url: string, configuration: Json = {}): Promise<string> {
  const body = { aiSystem: 'openai-compatible', model: 'm', configuration }
  const answer = await call(url, 'POST', '/conversations', body)
  if (answer.status !== 200) throw new Error(`conversation: ${answer.status} ${answer.text}`)
  return answer.body['conversationId'] as string
}

export function send(url: string, id: string, message: string, query = ''): Promise<Answer> {
  return call(url, 'PATCH', `/conversations/${id}/chat${query}`, { message })
}

export function openStream(url: string, id: string, message: string, query = ''): Promise<Open> {
  return open(url, { method: 'PATCH', path: `/conversations/${id}/chat-sse${query}`, body: { message } })
}

/** A stream that was read to where it ended. */
export type Heard = { blocks: Block[]; text: string; finishReason: string | null; isWhole: boolean }

export async function hear(opened: Open, onBlock: (block: Block, count: number) => void = () => {}): Promise<Heard> {
  const blocks: Block[] = []
  const { isWhole } = await readBlocks(opened.response, (block) => {
    blocks.push(block)
    onBlock(block, blocks.length)
  })
  const items = blocks.filter((block) => idOf(block) && !/^event: /m.test(block)).map(dataOf)
  const parsed = items.map((item) => JSON.parse(item) as Item)
  return {
    blocks,
    isWhole,
    text: parsed.map(({ choice }) => choice.message.content).join(''),
    finishReason: parsed.at(-1)?.choice.finish_reason ?? null,
  }
}

/** The events of a run as they are read again. */
export async function replay(
  url: string,
  id: string,
  runId: string,
  headers: Record<string, string> = {},
): Promise<Heard> {
  return hear(await open(url, { method: 'GET', path: `/conversations/${id}/runs/${runId}/events`, headers }))
}

export type Run = {
  runId: string
  status: string
  finishReason: string | null
  startedAt: string
  attempts: { outcome: string }[]
  error: { code: string; message: string } | null
  restarts: number
}
export type Message = { role: string; content: string; messageId: string; conversationRunId: string }

/** The runs of a conversation, the oldest first. */
export async function runsOf(url: string, id: string): Promise<Run[]> {
  const { body } = await call(url, 'GET', `/conversations/${id}/runs?pageSize=100`)
  return (body['data'] as Run[]).reverse()
}

export async function messagesOf(url: string, id: string): Promise<[role: string, content: string][]> {
  const { body } = await call(url, 'GET', `/conversations/${id}`)
  return (body['chatMessages'] as Message[]).map(({ role, content }) => [role, content])
}

/** Milliseconds after which what is waited for will not come, however much else the machine does. */
export const PATIENCE_MS = 120_000

/** Asks again until `look` gives something; rejects when that takes too long. */
export async function until<T>(what: string, look: () => Promise<T | null | undefined | false>): Promise<T> {
  for (const deadline = Date.now() + PATIENCE_MS; ; ) {
    const found = await look()
    if (found) return found
    if (Date.now() > deadline) throw new Error(`it did not come to this: ${what}`)
    await wait(25)
  }
}

/** Waits until a run has ended, and gives back its record. */
export function ended(url: string, id: string, runId: string): Promise<Run> {
  const look = async () => (await runsOf(url, id)).find((run) => run.runId === runId && !isOpen(run))
  return until(`run ${runId} has ended`, look)
}

function isOpen({ status }: Run): boolean {
  return status === 'running' || status === 'accepted'
}

/** Whatever has happened: nothing runs, and the next turn is answered. */
export async function expectNextTurn(world: World, id: string): Promise<void> {
  const { url } = world.server
  expect((await runsOf(url, id)).filter(isOpen)).toEqual([])
  const answer = await send(url, id, 'And now?')
  expect(answer.status, answer.text).toBe(200)
}
