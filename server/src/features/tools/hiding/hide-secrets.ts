import { decodeLayer, firstLayer, type Layer, unfinished, withoutBlanks } from './text-layers.ts'

/** What stands where a secret was. */
const MARK = '[secret]'
/** Shorter secrets are hidden as they are only: their disguises would be found in every text. */
const SHORTEST_SECRET = 4
/** UTF-16 units of the beginning of a secret, or of a disguise, that are hidden at the end of a text that was cut. */
const SHORTEST_BEGINNING = 4
/** Spellings that may lie on top of each other, such as JSON within JSON. */
const MOST_LAYERS = 3
/** UTF-16 units that are searched, which takes some milliseconds. A model gets to see fewer. */
export const MOST_SEARCHED = 65_536

/** Takes secrets out of a text. `isCut` says that the text was cut off, so that it may end within one. */
export type HideSecrets = (text: string, isCut?: boolean) => string

/** `shares`: whether the letter before it, and the one behind it, have some bits of the secret too. */
type Needle = { text: string; form: 'text' | 'hex' | 'base64'; shares: readonly [boolean, boolean] }
/** Where something stands, from the first unit to behind the last. */
type Range = { from: number; to: number }

/**
 * Makes a function that takes every one of `secrets` out of what came back from somebody who was sent them: as they are,
 * in other letter case, with white space in between, percent-encoded, escaped for JSON, JavaScript or HTML, in
 * hexadecimal, and in base64 of either alphabet wherever in the encoded text they begin. A text that has none of these
 * stays as it is, but for one of more than {@link MOST_SEARCHED} units, which ends there.
 */
export function createHideSecrets(secrets: readonly string[]): HideSecrets {
  const known = [...new Set(secrets)].filter((secret) => secret !== '')
  const needles = distinct(known.filter(({ length }) => length >= SHORTEST_SECRET).flatMap(disguisesOf))
  return (whole, isWholeCut = false) => {
    if (known.length === 0) return whole
    const isCut = isWholeCut || whole.length > MOST_SEARCHED
    const text = whole.slice(0, MOST_SEARCHED)
    const ranges = layersOf(text, isCut).flatMap((layer) => [
      ...needles.flatMap((needle) => findAll(layer, needle)),
      ...(isCut ? needles.flatMap((needle) => findBeginning(layer, needle, text.length)) : []),
    ])
    // The longest first: one secret may be the beginning of another.
    const asTheyAre = known.toSorted((a, b) => b.length - a.length)
    return asTheyAre.reduce((hidden, secret) => hidden.replaceAll(secret, MARK), withoutRanges(text, ranges))
  }
}

/** The text in lower case without white space, and what comes of it when what is escaped in it is decoded, again and again. */
function layersOf(text: string, isCut: boolean): Layer[] {
  const layers = [firstLayer(text)]
  while (layers.length <= MOST_LAYERS) {
    const next = decodeLayer(layers.at(-1) as Layer, isCut)
    if (!next) break
    layers.push(next)
  }
  return layers.map(withoutBlanks)
}

const NOTHING = [false, false] as const

/** What a secret may look like in a layer. Headers hold Latin-1, so what is no ASCII may be taken for either encoding. */
function disguisesOf(secret: string): Needle[] {
  const latin1 = Buffer.from(secret, 'latin1')
  const utf8 = Buffer.from(secret, 'utf8')
  const texts = [secret, utf8.toString('latin1'), new TextDecoder().decode(latin1), secret.replaceAll(' ', '+')]
  const decoded = texts.map(firstLayer).flatMap((layer) => {
    // A secret may itself have in it what looks escaped; a layer that was decoded has it decoded.
    const once = decodeLayer(layer, false)
    const twice = once && decodeLayer(once, false)
    return [layer, once, twice].flatMap((one) => (one ? [withoutBlanks(one).text] : []))
  })
  return [
    ...decoded.map((text): Needle => ({ text, form: 'text', shares: NOTHING })),
    ...[latin1, utf8].flatMap((bytes): Needle[] => [
      { text: bytes.toString('hex'), form: 'hex', shares: NOTHING },
      ...[0, 1, 2].map((offset) => base64Within(bytes, offset)),
    ]),
  ]
}

/** The letters of base64 that these bytes alone decide about when `offset` others stand before them. */
function base64Within(bytes: Buffer, offset: number): Needle {
  const end = offset + bytes.length
  const encoded = Buffer.concat([Buffer.alloc(offset), bytes]).toString('base64')
  const text = encoded.slice(Math.ceil((offset * 8) / 6), Math.floor((end * 8) / 6)).toLowerCase()
  return { text, form: 'base64', shares: [offset > 0, end % 3 > 0] }
}

function distinct(needles: readonly Needle[]): Needle[] {
  const byText = new Map(needles.filter(({ text }) => text.length >= SHORTEST_BEGINNING).map((one) => [one.text, one]))
  return [...byText.values()]
}

/** A layer as a needle of that form is looked for in it. */
function searchable({ text }: Layer, form: Needle['form']): string {
  return form === 'base64' ? text.replaceAll('-', '+').replaceAll('_', '/') : text
}

function findAll(layer: Layer, needle: Needle): Range[] {
  const ranges: Range[] = []
  const text = searchable(layer, needle.form)
  const { length } = needle.text
  for (let at = text.indexOf(needle.text); at >= 0; at = text.indexOf(needle.text, at + length)) {
    const last = at + length - 1
    const before = needle.shares[0] && areTogether(layer, text, at - 1) ? at - 1 : at
    const behind = needle.shares[1] && areTogether(layer, text, last) ? last + 1 : last
    ranges.push({ from: layer.from[before] as number, to: layer.to[behind] as number })
  }
  return ranges
}

/** Whether the letters at `at` and behind it are of one word of base64. */
function areTogether(layer: Layer, text: string, at: number): boolean {
  return layer.to[at] === layer.from[at + 1] && /^[a-z0-9+/]{2}$/.test(text.slice(at, at + 2))
}

/** The beginning of a needle at the end of a layer; all from there to the end of the text goes. */
function findBeginning(layer: Layer, { text: needle, form, shares }: Needle, end: number): Range[] {
  const text = searchable(layer, form)
  const shortest = form === 'hex' ? SHORTEST_BEGINNING * 2 : SHORTEST_BEGINNING
  return [text, unfinished(text)].flatMap((ending) => {
    for (let length = Math.min(needle.length, ending.length); length >= shortest; length--) {
      if (!ending.endsWith(needle.slice(0, length))) continue
      const first = ending.length - length
      const from = shares[0] && areTogether(layer, text, first - 1) ? first - 1 : first
      return [{ from: layer.from[from] as number, to: end }]
    }
    return []
  })
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
