import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import type { BlobStore } from '../../server/src/blobs/blob-store.ts'
import { openBlobs } from '../../server/src/blobs/open-blobs.ts'
import { type Archiver, createArchiver } from '../../server/src/features/archive/archiver.ts'
import { createOpenTurns } from '../../server/src/features/turns/run/open-turns.ts'
import type { Database } from '../../server/src/storage/database.ts'
import type { Json, RunningApp } from './app.ts'

export type Message = Json & { messageId: string; role: string; content: string; feedbacks: Json[] }
export type Conversation = Json & {
  conversationId: string
  chatMessages: Message[]
  chatMessagesCount: number
  areChatMessagesInBlob: boolean
  chatMessagesBlobUri: string | null
}

/** Small enough for tests; the newest 100 stay in any case. */
export const SMALL_ARCHIVE = { DRAMATIS_ARCHIVE_MESSAGES: '120', DRAMATIS_ARCHIVE_AFTER_DAYS: '0' }

/** A conversation with a history of `count` messages below its system message. */
export async function createLong(server: RunningApp, count: number, more: Json = {}): Promise<Conversation> {
  const messages = Array.from({ length: count }, (_, i) => ({
    role: i % 2 === 0 ? 'user' : 'assistant',
    content: `${i} ${i % 7 === 0 ? 'é😀 "quoted"\n{}' : 'plain'}`,
  }))
  const { status, body, text } = await server.call<Conversation>('POST', '/conversations', {
    aiSystem: 'rehearsal',
    model: 'rehearsal',
    systemMessage: 'Be brief.',
    messages,
    ...more,
  })
  expect([status, text.slice(0, 200)]).toEqual([200, expect.anything()])
  return body
}

export async function read(server: RunningApp, id: string): Promise<Conversation> {
  const answer = await server.call<Conversation>('GET', `/conversations/${id}`)
  expect([answer.status, answer.text.slice(0, 200)]).toEqual([200, expect.anything()])
  return answer.body
}

/** What the signed link of a conversation answers, without a key. */
export async function transcript(server: RunningApp, id: string): Promise<Message[]> {
  const { chatMessagesBlobUri } = await read(server, id)
  const response = await fetch(chatMessagesBlobUri ?? '')
  expect([response.status, response.headers.get('content-type')]).toEqual([200, 'application/json; charset=utf-8'])
  return (await response.json()) as Message[]
}

/** The names of all files below the folder of the blobs. */
export function blobFiles({ place }: RunningApp): string[] {
  try {
    return readdirSync(join(place.directory, 'blobs'), { recursive: true, encoding: 'utf8', withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
  } catch {
    return []
  }
}

export type Parts = { database: Database; blobs: BlobStore; clock: () => number; afterDays: number; messages: number }

/** An archiver of its own on a server's data, with parts replaced. */
export function archiverOn({ app, config }: RunningApp, parts: Partial<Parts> = {}): Archiver {
  const { database = app.services.database, blobs = openBlobs(config.blobs), clock = () => Date.now() } = parts
  const { messages, afterDays } = { ...config.archive, ...parts }
  return createArchiver({
    database,
    blobs,
    clock,
    ids: app.services.ids,
    openTurns: createOpenTurns({ database }),
    settings: { messages, afterDays },
    log: { warn: () => {} },
  })
}
