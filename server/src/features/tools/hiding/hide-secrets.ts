import {
  decodeLayer,
  firstLayer,
  type Layer,
  lettersOnly,
  lowered,
  numberLayers,
  unfinished,
  withoutBlanks,
} from '../../../lib/text/text-layers.ts'
import { createFindSpellings, type FindSpellings, findBeginning, type Range } from './find-spellings.ts'
import { type Spelling, spellingsOf } from './secret-spellings.ts'

/** What stands where a secret was. */
const MARK = '[secret]'
/** Shorter secrets are hidden as they are only: their disguises would be found in every text. */
const SHORTEST_SECRET = 4
/** Escapes that may lie on top of each other, such as JSON within JSON. */
const MOST_LAYERS = 3
/** UTF-16 units that are searched, which takes some milliseconds. A model gets to see fewer. */
export const MOST_SEARCHED = 65_536

/** Takes secrets out of a text. `isCut` says that the text was cut off, so that it may end within one. */
export type HideSecrets = (text: string, isCut?: boolean) => string

type Search = { spellings: readonly Spelling[]; find: FindSpellings }

/**
 * Makes a function that takes every one of `secrets`, and each third of one, out of what came back from somebody who was
 * sent them: as they are or reversed, in other letter case, with white space or marks between the letters, one letter a
 * line, percent-encoded, in forms, escaped for JSON, JavaScript or HTML, as lists of numbers, in hexadecimal and in base64
 * wherever in the encoded text they begin, and in one of these two within one of these. `wholes` are hidden likewise, and
 * no pieces of them. A text that has none of these stays as it is, but for one of more than {@link MOST_SEARCHED} units,
 * which ends there.
 */
export function createHideSecrets(secrets: readonly string[], wholes: readonly string[] = []): HideSecrets {
  const known = [...new Set([...secrets, ...wholes])].filter((secret) => secret !== '')
  // The longest first: one secret may be the beginning of another.
  const asTheyAre = known.toSorted((a, b) => b.length - a.length)
  let searches: { withMarks: Search; lettersOnly: Search } | null = null

  return (whole, isWholeCut = false) => {
    if (known.length === 0 || whole === '') return whole
    searches ??= createSearches(known, new Set(secrets))
    const isCut = isWholeCut || whole.length > MOST_SEARCHED
    const text = whole.slice(0, MOST_SEARCHED)
    const ranges = layersOf(text, isCut).flatMap(({ layer, kind }) => {
      const { find, spellings } = (searches as NonNullable<typeof searches>)[kind]
      const found = find(layer)
      if (!isCut || layer.text === '') return found
      const ends = [...new Set([layer.text, unfinished(layer.text)])].filter((end) => end !== '')
      return [
        ...found,
        ...ends.flatMap((end) => spellings.flatMap((spelling) => findBeginning(layer, end, spelling, text.length))),
      ]
    })
    return asTheyAre.reduce((hidden, secret) => hidden.replaceAll(secret, MARK), withoutRanges(text, ranges))
  }
}

function createSearches(known: readonly string[], secrets: ReadonlySet<string>) {
  const each = known
    .filter(({ length }) => length >= SHORTEST_SECRET)
    .map((secret) => spellingsOf(secret, !secrets.has(secret)))
  const search = (spellings: Spelling[]): Search => ({ spellings, find: createFindSpellings(spellings) })
  return {
    withMarks: search(each.flatMap((one) => one.withMarks)),
    lettersOnly: search(each.flatMap((one) => one.lettersOnly)),
  }
}

/** The text and what comes of it when what is escaped in it is decoded, again and again; of each what it may stand for. */
function layersOf(text: string, isCut: boolean): { layer: Layer; kind: 'withMarks' | 'lettersOnly' }[] {
  const layers = [firstLayer(text)]
  while (layers.length <= MOST_LAYERS) {
    const next = decodeLayer(layers.at(-1) as Layer, isCut)
    if (!next) break
    layers.push(next)
  }
  return layers.flatMap((layer) => [
    ...[layer, ...numberLayers(layer)].map((one) => ({
      layer: withoutBlanks(lowered(one)),
      kind: 'withMarks' as const,
    })),
    { layer: lettersOnly(lowered(layer)), kind: 'lettersOnly' as const },
  ])
}

function withoutRanges(text: string, ranges: readonly Range[]): string {
  let [shown, at] = ['', 0]
  for (const { from, to } of ranges.toSorted((a, b) => a.from - b.from)) {
    if (to <= at) continue
    // One that begins within another is hidden with it.
    if (from >= at) shown += text.slice(at, from) + MARK
    at = to
  }
  return shown + text.slice(at)
}
