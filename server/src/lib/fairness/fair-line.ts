/** For whom something is done: first the organization, then a key of it, as far inward as there is something to tell. */
export type Path = readonly string[]

/** Those who wait below one step of the path: at its end in a row, before that in groups that take turns. */
type Group<T> = { waiting: number; own: T[]; below: Map<string, Group<T>> }

export type FairLine<T> = ReturnType<typeof createFairLine<T>>

/**
 * A line in which at most `most` wait. The groups of the first step of the path take turns, in each of them those of the
 * second, and so on; who has the same path comes in order. So one that sends a thousand is in nobody's way but its own.
 * When the line is full, the youngest of the group that waits most makes room for one of a group that waits less.
 */
export function createFairLine<T>({ most }: { most: number }) {
  let root = emptyGroup<T>()

  return {
    /** Gives back who has to go: nobody where there is room, else the youngest of a fuller group, or `one` itself. */
    add(path: Path, one: T): T | undefined {
      let gone: T | undefined
      if (root.waiting >= most) {
        const fullest = fullestPath(root)
        if (!waitsMore(root, fullest, path)) return one
        gone = takeYoungest(root, fullest)
      }
      add(root, path, one)
      return gone
    },

    /** Takes out one that has given up. */
    remove(path: Path, one: T): void {
      remove(root, path, one)
    },

    /** Whose turn it is, among those of whose path every beginning `may`; their groups go behind the others. */
    take(may: (path: Path) => boolean): { path: Path; one: T } | undefined {
      return takeNext(root, [], may)
    },

    takeAll(): T[] {
      const all = everyOne(root)
      root = emptyGroup()
      return all
    },

    /** How many wait. */
    count: (): number => root.waiting,
  }
}

function emptyGroup<T>(): Group<T> {
  return { waiting: 0, own: [], below: new Map() }
}

function everyOne<T>({ own, below }: Group<T>): T[] {
  return [...own, ...[...below.values()].flatMap(everyOne)]
}

function add<T>(root: Group<T>, path: Path, one: T): void {
  let group = root
  group.waiting++
  for (const step of path) {
    const inner = group.below.get(step) ?? emptyGroup<T>()
    group.below.set(step, inner)
    group = inner
    group.waiting++
  }
  group.own.push(one)
}

function remove<T>(group: Group<T>, path: Path, one: T): boolean {
  const [step, ...rest] = path
  if (step === undefined) {
    const at = group.own.indexOf(one)
    if (at < 0) return false
    group.own.splice(at, 1)
  } else {
    const inner = group.below.get(step)
    if (!inner || !remove(inner, rest, one)) return false
    if (inner.waiting === 0) group.below.delete(step)
  }
  group.waiting--
  return true
}

function takeNext<T>(group: Group<T>, path: Path, may: (path: Path) => boolean): { path: Path; one: T } | undefined {
  if (group.own.length > 0) {
    group.waiting--
    return { path, one: group.own.shift() as T }
  }
  for (const [step, inner] of group.below) {
    const further = [...path, step]
    if (!may(further)) continue
    const found = takeNext(inner, further, may)
    if (!found) continue
    group.waiting--
    group.below.delete(step)
    if (inner.waiting > 0) group.below.set(step, inner)
    return found
  }
  return undefined
}

/** Where most wait: the fullest group, in it the fullest, and so on. */
function fullestPath<T>(root: Group<T>): string[] {
  const path: string[] = []
  for (let group = root; group.below.size > 0; ) {
    const [step, inner] = [...group.below].reduce((most, one) => (one[1].waiting > most[1].waiting ? one : most))
    path.push(step)
    group = inner
  }
  return path
}

/** Whether, where the two paths part, more wait in the first than would in the second. */
function waitsMore<T>(root: Group<T>, fullest: Path, other: Path): boolean {
  let group: Group<T> | undefined = root
  for (const [depth, step] of fullest.entries()) {
    const theirs: number = group?.below.get(step)?.waiting ?? 0
    const ours: number = group?.below.get(other[depth] ?? '')?.waiting ?? 0
    if (step !== other[depth]) return theirs > ours + 1
    group = group?.below.get(step)
  }
  return false
}

function takeYoungest<T>(root: Group<T>, path: Path): T | undefined {
  let group: Group<T> | undefined = root
  for (const step of path) group = group?.below.get(step)
  const youngest = group?.own.at(-1)
  if (youngest !== undefined) remove(root, path, youngest)
  return youngest
}
