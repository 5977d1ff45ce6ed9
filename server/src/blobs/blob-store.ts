import { AppError } from '../errors.ts'
import type { DiskObstacle } from '../lib/process/disk.ts'

/** What a store keeps beside the bytes, where it can. The file system cannot: nothing may depend on reading it back. */
export type BlobMetadata = { contentType: string }

/**
 * Bytes under keys such as `archive/one/two.gz`. A blob is written whole and read whole. Every method throws
 * {@link BlobError} when the store cannot be used at the moment, and for a key that is none.
 */
export type BlobStore = {
  /** Stores a blob; when it resolves, it survives a crash. A key that is there already gets the new bytes. */
  put(key: string, bytes: Uint8Array, metadata: BlobMetadata): Promise<void>
  /** The bytes; null when there is no such blob. */
  get(key: string): Promise<Uint8Array | null>
  /** Removes a blob; one that is not there is no failure. */
  delete(key: string): Promise<void>
  /** Removes every blob whose key begins with `prefix`, which ends with a slash. */
  deletePrefix(prefix: string): Promise<void>
  exists(key: string): Promise<boolean>
  /** What keeps blobs from being stored, as far as can be told without asking another machine. */
  findObstacle(): Promise<DiskObstacle | null>
  /** Where the blobs are, for an operator: without credentials. */
  describe(): string
}

/** The blob store cannot be used: not reachable, refused, full. The message is for an operator. */
export class BlobError extends Error {
  /** What the disk has to do with it; null when it is something else. */
  readonly obstacle: DiskObstacle | null

  constructor(
    message: string,
    { obstacle = null, ...options }: ErrorOptions & { obstacle?: DiskObstacle | null } = {},
  ) {
    super(message, options)
    this.name = 'BlobError'
    this.obstacle = obstacle
  }

  /** A caller learns that it is worth trying again, and nothing about folders and servers. */
  toAppError(): AppError {
    return new AppError('unavailable', 'archived messages cannot be read at the moment', {
      cause: this,
      retryAfterMs: 5_000,
    })
  }
}

const PART = /^(?!\.+$)[\w.-]{1,200}$/

/** Throws for what could mean another blob in some store: empty parts, dots, anything that has to be encoded. */
export function checkKey(key: string): void {
  if (key.length > 900 || !key.split('/').every((part) => PART.test(part))) {
    throw new BlobError(`"${key}" is not the key of a blob`)
  }
}

/** The same for a prefix, which ends with a slash. */
export function checkPrefix(prefix: string): void {
  if (!prefix.endsWith('/')) throw new BlobError(`"${prefix}" is not the prefix of blobs`)
  checkKey(prefix.slice(0, -1))
}
