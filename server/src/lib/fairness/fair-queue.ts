/** For whom something is done: first the organization, then a key of it, as far inward as there is something to tell. */
export type Path = readonly string[]

/** Nobody else may wait, or somebody who waits less has come. `waiting` is how many are in front. */
export class QueueFullError extends Error {
  readonly waiting: number

  constructor(waiting: number) {
    super('the queue is full')
    this.name = 'QueueFullError'
    this.waiting = waiting
  }
}

export type FairQueue = {
  /**
   * Resolves when it is one's turn, with the function that ends it. Rejects with a {@link QueueFullError} at once or
   * later, or with the signal's reason while waiting.
   */
  enter(path: Path, signal?: AbortSignal): Promise<() => void>
  /** How many are at it, and how many wait. */
  count(): { atWork: number; waiting: number }
}

type Waiter = { begin(): void; refuse(): void }
/** Those who wait below one step of the path: at its end in a row, before that in groups that take turns. */
type Group = { waiting: number; own: Waiter[]; below: Map<string, Group> }

/**
 * Lets `atOnce` work at the same time and `most` wait. The groups of the first step of the path take turns, in each of them
 * those of the second, and so on; who has the same path comes in order. So one that sends a thousand is in nobody's way
 * but its own. A first step may have `atOnceEach` at work, so that what takes long does not take every place. When the
 * queue is full, the youngest of the group that waits most makes room for one of a group that waits less.
 */
export function createFairQueue(options: { atOnce: number; most: number; atOnceEach?: number }): FairQueue {
  const { atOnce, most, atOnceEach = atOnce } = options
  const root = emptyGroup()
  const atWorkOf = new Map<string, number>()
  let atWork = 0

  const mayWork = (first: string) => (atWorkOf.get(first) ?? 0) < atOnceEach

  function begin(first: string): () => void {
    atWork++
    atWorkOf.set(first, (atWorkOf.get(first) ?? 0) + 1)
    let isOver = false
    return () => {
      if (isOver) return
      isOver = true
      atWork--
      const left = (atWorkOf.get(first) ?? 1) - 1
      if (left === 0) atWorkOf.delete(first)
      else atWorkOf.set(first, left)
      letIn()
    }
  }

  function letIn(): void {
    while (atWork < atOnce) {
      const waiter = takeNext(root, mayWork)
      if (!waiter) return
      waiter.begin()
    }
  }

  /** Makes room for one more of this path. False when its own groups are those that wait most. */
  function makeRoom(path: Path): boolean {
    if (root.waiting < most) return true
    const fullest = fullestPath(root)
    if (!waitsMore(root, fullest, path)) return false
    takeYoungest(root, fullest)?.refuse()
    return true
  }

  return {
    async enter(path, signal) {
      signal?.throwIfAborted()
      const first = path[0] ?? ''
      if (atWork < atOnce && mayWork(first)) return begin(first)
      if (!makeRoom(path)) throw new QueueFullError(root.waiting)
      const { promise, resolve, reject } = Promise.withResolvers<() => void>()
      const forget = () => signal?.removeEventListener('abort', leave)
      const waiter: Waiter = {
        begin() {
          forget()
          resolve(begin(first))
        },
        refuse() {
          forget()
          reject(new QueueFullError(root.waiting))
        },
      }
      const leave = () => {
        forget()
        remove(root, path, waiter)
        reject(signal?.reason)
      }
      signal?.addEventListener('abort', leave, { once: true })
      add(root, path, waiter)
      return promise
    },

    count: () => ({ atWork, waiting: root.waiting }),
  }
}

function emptyGroup(): Group {
  return { waiting: 0, own: [], below: new Map() }
}

function add(root: Group, path: Path, waiter: Waiter): void {
  let group = root
  group.waiting++
  for (const step of path) {
    const inner = group.below.get(step) ?? emptyGroup()
    group.below.set(step, inner)
    group = inner
    group.waiting++
  }
  group.own.push(waiter)
}

function remove(group: Group, path: Path, waiter: Waiter): boolean {
  const [step, ...rest] = path
  if (step === undefined) {
    const at = group.own.indexOf(waiter)
    if (at < 0) return false
    group.own.splice(at, 1)
  } else {
    const inner = group.below.get(step)
    if (!inner || !remove(inner, rest, waiter)) return false
    if (inner.waiting === 0) group.below.delete(step)
  }
  group.waiting--
  return true
}

/** The one whose turn it is among those whose first step `may`; its groups go behind the others of their level. */
function takeNext(group: Group, may: (step: string) => boolean = () => true): Waiter | undefined {
  const own = group.own.shift()
  if (own) {
    group.waiting--
    return own
  }
  for (const [step, inner] of group.below) {
    if (!may(step)) continue
    const found = takeNext(inner)
    group.below.delete(step)
    if (inner.waiting > 0) group.below.set(step, inner)
    if (found) group.waiting--
    return found
  }
  return undefined
}

/** Where most wait: the fullest group, in it the fullest, and so on. */
function fullestPath(root: Group): string[] {
  const path: string[] = []
  for (let group = root; group.below.size > 0; ) {
    const [step, inner] = [...group.below].reduce((most, one) => (one[1].waiting > most[1].waiting ? one : most))
    path.push(step)
    group = inner
  }
  return path
}

/** Whether, where the two paths part, more wait in the first than would in the second. */
function waitsMore(root: Group, fullest: Path, other: Path): boolean {
  let group: Group | undefined = root
  for (const [depth, step] of fullest.entries()) {
    const theirs: number = group?.below.get(step)?.waiting ?? 0
    const ours: number = group?.below.get(other[depth] ?? '')?.waiting ?? 0
    if (step !== other[depth]) return theirs > ours + 1
    group = group?.below.get(step)
  }
  return false
}

function takeYoungest(root: Group, path: Path): Waiter | undefined {
  let group: Group | undefined = root
  for (const step of path) group = group?.below.get(step)
  const youngest = group?.own.at(-1)
  if (youngest) remove(root, path, youngest)
  return youngest
}
