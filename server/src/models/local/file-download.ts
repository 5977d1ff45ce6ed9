import { createHash, type Hash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { type FileHandle, mkdir, open, rename, rm, stat, statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Dispatcher } from 'undici'
import { PRIVATE_FILE, PRIVATE_FOLDER } from '../../lib/process/private-files.ts'
import { printableLine } from '../../lib/text/printable.ts'
import { sleep } from '../sleep.ts'

/** Times that a download goes on after the connection broke, without a byte in between. */
const MAX_STUMBLES = 4

/** What is wrong, in a sentence for people. */
export class DownloadError extends Error {
  constructor(message: string, cause?: unknown) {
    super(printableLine(message), { cause })
    this.name = 'DownloadError'
  }
}

export type DownloadOptions = {
  url: string
  headers: Record<string, string>
  file: string
  bytes: number
  /** In hexadecimal. */
  sha256: string
  dispatcher: Dispatcher
  signal: AbortSignal
  /** Bytes of this file that are there. */
  onProgress(received: number): void
  /** Milliseconds before the connection is tried again. */
  pauseMs?: number
}

/**
 * Brings one file here. It is written beside its place and moved there when its checksum is right, so that a file in its
 * place is always whole. What an earlier attempt has left is continued. Rejects with a {@link DownloadError}.
 */
export async function downloadFile(options: DownloadOptions): Promise<void> {
  const { file, bytes, sha256, signal, pauseMs = 1_000 } = options
  await mkdir(dirname(file), { recursive: true, mode: PRIVATE_FOLDER })
  // The checksum in the name: half of another version is never continued.
  const partial = `${file}.${sha256.slice(0, 12)}.part`
  for (let stumbles = 0; ; ) {
    const before = await sizeOf(partial)
    try {
      await fetchRest(options, partial)
      break
    } catch (error) {
      if (error instanceof DownloadError) throw error
      if (signal.aborted) throw new DownloadError('the server is stopping', error)
      stumbles = (await sizeOf(partial)) > before ? 0 : stumbles + 1
      if (stumbles > MAX_STUMBLES)
        throw new DownloadError(`the hub breaks the connection off (${reasonOf(error)})`, error)
      await sleep(pauseMs * 2 ** stumbles, signal).catch(() => {})
    }
  }
  const found = await digestOf(partial)
  if (found !== sha256 || (await sizeOf(partial)) !== bytes) {
    await rm(partial, { force: true })
    throw new DownloadError('its checksum is not the one that the hub names')
  }
  await rename(partial, file)
}

async function fetchRest(options: DownloadOptions, partial: string): Promise<void> {
  const { url, headers, bytes, dispatcher, signal, onProgress } = options
  let start = await sizeOf(partial)
  if (start >= bytes) return
  await makeSureOfRoom(dirname(partial), bytes - start)
  const range = start === 0 ? {} : { range: `bytes=${start}-` }
  const { fetch } = await import('undici')
  const response = await fetch(url, { headers: { ...headers, ...range }, dispatcher, signal })
  if (response.status >= 500 || response.status === 429) {
    await response.body?.cancel()
    throw new Error(`it answers ${response.status}`)
  }
  if (!response.ok || response.body === null) {
    await response.body?.cancel()
    throw new DownloadError(`the hub answers ${response.status} when asked for the file`)
  }
  // Whoever does not know ranges sends everything again.
  const isRest = response.status === 206 && response.headers.get('content-range')?.startsWith(`bytes ${start}-`)
  if (!isRest) start = 0
  const handle = await open(partial, isRest ? 'a' : 'w', PRIVATE_FILE)
  try {
    await copy(response.body, handle, { start, bytes, onProgress })
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function copy(
  body: AsyncIterable<Uint8Array>,
  handle: FileHandle,
  { start, bytes, onProgress }: { start: number; bytes: number; onProgress(received: number): void },
): Promise<void> {
  let received = start
  for await (const piece of body) {
    received += piece.byteLength
    if (received > bytes) throw new DownloadError('the hub sends more than it has announced')
    await handle.writeFile(piece)
    onProgress(received)
  }
  if (received < bytes) throw new Error('the connection was closed')
}

async function makeSureOfRoom(folder: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(folder)
  if (bavail * bsize >= bytes) return
  const [needed, free] = [bytes, bavail * bsize].map((size) => `${Math.ceil(size / 1_000_000)} MB`)
  throw new DownloadError(`it needs ${needed} and the disk has ${free}`)
}

async function digestOf(file: string): Promise<string> {
  const hash: Hash = createHash('sha256')
  for await (const piece of createReadStream(file, { highWaterMark: 1024 * 1024 })) hash.update(piece as Buffer)
  return hash.digest('hex')
}

/** 0 for none. */
export async function sizeOf(file: string): Promise<number> {
  return stat(file).then(
    ({ size }) => size,
    () => 0,
  )
}

/** For people. `fetch failed` says nothing, what is below it does. */
export function reasonOf(error: unknown): string {
  if (error instanceof DownloadError) return error.message
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
  if (!(cause instanceof Error)) return String(cause)
  return cause.message || ('code' in cause ? String(cause.code) : cause.name)
}
