import { randomBytes } from 'node:crypto'
import type { Clock } from './clock.ts'

/** Where the contract wants an id and there is none. */
export const NIL_UUID = '00000000-0000-0000-0000-000000000000'

/** Behind every id there is. */
export const LAST_UUID = 'ffffffff-ffff-ffff-ffff-ffffffffffff'

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i

/** True for the 36-character form of any UUID, in either case. */
export function isUuid(value: string): boolean {
  return UUID.test(value)
}

export type IdSource = {
  /** A new UUIDv7, greater than every one this source made before. */
  next(): string
  /** A new UUIDv7 that is also greater than `floor`, which another node may have made with a faster clock. */
  nextAfter(floor: string): string
}

/** The variant's two bits, 10, in front of two random ones. */
const VARIANTS = '89ab'
/** Hexadecimal digits of an id that are random, the variant's included. */
const RANDOM_DIGITS = 16
/** Ids for which random digits are drawn at a time: one system call costs more than making an id. */
const DRAWN_AT_ONCE = 128

/**
 * UUIDv7 (RFC 9562, section 5.7; the counter is method 1 of section 6.2): 48 bits of milliseconds, 12 bits that count
 * within the millisecond, 62 random bits. Time order is what keeps inserts at one place of an index.
 */
export function createIdSource(clock: Clock): IdSource {
  let lastMs = 0
  let counter = 0
  let digits = ''
  let used = 0

  function make(floorMs: number): string {
    const now = Math.max(clock(), floorMs)
    if (now > lastMs) {
      lastMs = now
      counter = 0
    } else if (++counter > 0xfff) {
      lastMs++
      counter = 0
    }
    if (used === digits.length) {
      digits = randomBytes((RANDOM_DIGITS / 2) * DRAWN_AT_ONCE).toString('hex')
      used = 0
    }
    const hex = lastMs.toString(16).padStart(12, '0')
    const tail = counter.toString(16).padStart(3, '0')
    const variant = VARIANTS[Number.parseInt(digits[used] as string, 16) & 3]
    const random = digits.slice(used + 1, used + RANDOM_DIGITS)
    used += RANDOM_DIGITS
    return `${hex.slice(0, 8)}-${hex.slice(8)}-7${tail}-${variant}${random.slice(0, 3)}-${random.slice(3)}`
  }

  return {
    next: () => make(0),
    nextAfter: (floor) => {
      const id = make(0)
      return id > floor ? id : make(timeOfUuid(floor) + 1)
    },
  }
}

/** The millisecond a UUIDv7 was made in. */
export function timeOfUuid(id: string): number {
  return Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16)
}

/** The smallest UUIDv7 of a millisecond: ids that are less were made before it. */
export function firstUuidOf(ms: number): string {
  const hex = Math.max(0, Math.trunc(ms)).toString(16).padStart(12, '0')
  return `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-000000000000`
}

/** The id that comes next after `id` in order, whether or not anything has it. */
export function successorOf(id: string): string {
  return shiftId(id, 1)
}

/** The id that many places behind `id` in order, or before it where `by` is negative. */
export function shiftId(id: string, by: number): string {
  if (by === 0) return id
  const hex = (BigInt(`0x${id.replaceAll('-', '')}`) + BigInt(by)).toString(16).padStart(32, '0')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}
