import { closeSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as wait } from 'node:timers/promises'
import { clearGaps, MOST_PAGES } from './gaps.ts'

/** Milliseconds that a step works, and how many times as long it rests. */
const STEP_MS = 4
const REST = 4
/** Milliseconds between tries when somebody is in the way, and for how long to go on trying. */
const TRY_AGAIN_MS = 20
const PATIENCE_MS = 10_000
const SQLITE_BUSY = 5
/** Pages that a step reads at a time. */
const PAGES_AT_ONCE = 64
/** Pages that have changed behind it and are looked at in one go at the end. */
const CHANGED_AT_ONCE = 2_000
/** Pages in the write-ahead log from which on SQLite copies them into the file by itself. */
export const AUTOCHECKPOINT = 4_000
/** The page with the byte that SQLite locks is never used. */
const LOCK_BYTE = 0x4000_0000

/** What a step has come to: there is more to do, somebody else is in the way, or all of the file is clean. */
type StepResult = 'more' | 'held up' | 'clean'

/**
 * Overwrites what SQLite leaves in its file of what was deleted. `secure_delete` clears what is deleted where it stands, but
 * when a page is split, copies of what was moved away stay in its gap. So all gaps are cleared, in the file itself, a few
 * pages at a step: other writes go on in between, and which pages they have changed stands in the write-ahead log.
 *
 * A step is safe because it works under the lock for writing while all of the log is in the file: then nobody writes, or
 * copies from the log, and a gap means nothing to who reads. Each step ends with a write of SQLite's own, so that no
 * connection keeps the pages that it knows. The file stays open until the process ends: closing it would let go of the
 * locks that SQLite holds on it (https://www.sqlite.org/howtocorrupt.html, 2.2).
 */
export function createScrubber(file: string, connection: DatabaseSync) {
  // SQLite before 3.51 takes it for `passive`, which does no harm.
  const log = connection.prepare('pragma wal_checkpoint(noop)')
  let descriptor: number | undefined

  function open(): { step(): StepResult; truncate(): boolean; close(): void } | null {
    const cleaner = new DatabaseSync(file, { timeout: 0 })
    const read = (pragma: string) => Number(Object.values(cleaner.prepare(`pragma ${pragma}`).get() ?? {})[0])
    const size = read('page_size')
    if (read('auto_vacuum') !== 0 || read('page_count') >= MOST_PAGES) {
      cleaner.close()
      return null
    }
    cleaner.exec('pragma synchronous = full')
    descriptor ??= openSync(file, 'r+')
    const database = descriptor
    const header = Buffer.alloc(100)
    readSync(database, header, 0, header.length, 0)
    const usable = size - (header[20] as number)
    const buffer = Buffer.alloc(size * PAGES_AT_ONCE)
    /** Pages before which all are clean but those that have changed since. The first one has only the schema. */
    let position = 2
    const changed = new Set<number>()
    let isWritten = false

    function clean(first: number, count: number): void {
      const from = (first - 1) * size
      const bytes = readSync(database, buffer, 0, count * size, from)
      for (let at = 0; at + size <= bytes; at += size) {
        if (from + at === LOCK_BYTE) continue
        const page = buffer.subarray(at, at + size)
        for (const [start, end] of clearGaps(page, usable)) {
          writeSync(database, page, start, end - start, from + at + start)
          isWritten = true
        }
      }
    }

    function advance(): StepResult {
      const until = performance.now() + STEP_MS
      const last = read('page_count')
      while (position <= last) {
        const count = Math.min(PAGES_AT_ONCE, last - position + 1)
        clean(position, count)
        position += count
        if (performance.now() > until) return 'more'
      }
      const isLast = changed.size <= CHANGED_AT_ONCE
      for (const page of changed) {
        clean(page, 1)
        changed.delete(page)
        if (!isLast && performance.now() > until) return 'more'
      }
      return 'clean'
    }

    return {
      step() {
        if (!isEmptied(cleaner.prepare('pragma wal_checkpoint(passive)').get())) return 'held up'
        try {
          cleaner.exec('begin immediate')
        } catch {
          return 'held up'
        }
        try {
          const frames = log.get()
          if (!isEmptied(frames)) return 'held up'
          for (const page of pagesInLog(`${file}-wal`, Number(frames?.['log']), size)) {
            if (page > 1 && page < position) changed.add(page)
          }
          const result = advance()
          if (isWritten) fsyncSync(database)
          isWritten = false
          cleaner.exec(`pragma user_version = ${read('user_version')}`)
          cleaner.exec('commit')
          return result
        } finally {
          if (cleaner.isTransaction) cleaner.exec('rollback')
        }
      },
      /** Empties the write-ahead log, in which older pages stand. False while somebody reads from it. */
      truncate: () => cleaner.prepare('pragma wal_checkpoint(truncate)').get()?.['busy'] === 0,
      close: () => cleaner.close(),
    }
  }

  /** Does `task` until it is over, with rests; throws when it is held up for too long. */
  async function untilOver(task: () => StepResult): Promise<void> {
    let goneOnAt = performance.now()
    for (;;) {
      const begunAt = performance.now()
      const result = task()
      const now = performance.now()
      if (result === 'clean') return
      if (result === 'more') goneOnAt = now
      else if (now - goneOnAt > PATIENCE_MS) throw heldUp()
      await wait(result === 'more' ? Math.max(1, (now - begunAt) * REST) : TRY_AGAIN_MS)
    }
  }

  return {
    /**
     * Leaves nothing in the file and its log of what is deleted by the time that `onClean` is called: all that want it
     * until then are served. False when the file is not one that can be cleaned like this.
     */
    async scrub(onClean: () => void): Promise<boolean> {
      const pass = open()
      if (!pass) return false
      // Steps empty the log; if anybody else did, its frames would be written over unseen.
      connection.exec('pragma wal_autocheckpoint = 0')
      try {
        await untilOver(pass.step)
        onClean()
        await untilOver(() => (pass.truncate() ? 'clean' : 'held up'))
        return true
      } finally {
        connection.exec(`pragma wal_autocheckpoint = ${AUTOCHECKPOINT}`)
        pass.close()
      }
    },
  }
}

function heldUp(): Error {
  return Object.assign(new Error('a reader keeps the write-ahead log'), { errcode: SQLITE_BUSY })
}

function isEmptied(checkpoint: Record<string, unknown> | undefined): boolean {
  return checkpoint?.['busy'] === 0 && checkpoint['log'] === checkpoint['checkpointed']
}

/** The pages of which the write-ahead log has a version: https://www.sqlite.org/fileformat2.html#walformat. */
function pagesInLog(file: string, frames: number, pageSize: number): number[] {
  if (!(frames > 0)) return []
  const log = openSync(file, 'r')
  try {
    const header = Buffer.alloc(24)
    return Array.from({ length: frames }, (_, frame) => {
      readSync(log, header, 0, header.length, 32 + frame * (24 + pageSize))
      return header.readUInt32BE(0)
    })
  } finally {
    closeSync(log)
  }
}
