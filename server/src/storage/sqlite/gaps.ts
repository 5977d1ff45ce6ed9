/** Bytes from the first to before the second. */
type Range = readonly [number, number]

/** Pages of a b-tree say so in their first byte: interior and leaf, of an index and of a table. */
const BTREE_PAGES: ReadonlySet<number> = new Set([2, 5, 10, 13])
const LEAF = 8

/** As long as the largest page. */
const NOTHING = Buffer.alloc(65_536)

/**
 * Below this many pages the first byte of any other page is 0 or 1: overflow pages and those of the list of free pages
 * begin with the number of a page.
 */
export const MOST_PAGES = 0x0200_0000

/**
 * Where a page of a b-tree holds nothing: between the pointers to its cells and the cells, and in the blocks that were
 * freed among them. None for other pages, and for one that is not as it should be. `usable` is the size of a page without
 * what is reserved at its end. See https://www.sqlite.org/fileformat2.html#b_tree_pages.
 */
export function gapsOf(page: Buffer, usable: number): Range[] {
  const type = page[0] as number
  if (!BTREE_PAGES.has(type)) return []
  const cells = page.readUInt16BE(3)
  // Zero stands for 65,536.
  const content = page.readUInt16BE(5) || 65_536
  const start = ((type & LEAF) !== 0 ? 8 : 12) + cells * 2
  if (content < start || content > usable) return []
  const gaps: Range[] = [[start, content]]
  for (let at = page.readUInt16BE(1), last = content; at !== 0; ) {
    if (at < last || at + 4 > usable) return []
    const end = at + page.readUInt16BE(at + 2)
    if (end < at + 4 || end > usable) return []
    gaps.push([at + 4, end])
    last = end
    at = page.readUInt16BE(at)
  }
  return gaps.filter(([from, to]) => to > from)
}

/** Clears the gaps of a page in place; says which of them held something. */
export function clearGaps(page: Buffer, usable: number): Range[] {
  const dirty = gapsOf(page, usable).filter(([from, to]) => page.compare(NOTHING, 0, to - from, from, to) !== 0)
  for (const [from, to] of dirty) page.fill(0, from, to)
  return dirty
}
