import { decodeLayer, firstLayer, lettersOnly, lowered, withoutBlanks } from '../../../lib/text/text-layers.ts'

/** A way to spell a secret, in lower case and without white space. */
export type Spelling = {
  text: string
  /** Units of it that tell too much when they stand alone. */
  piece: number
  /** Of its beginning, at the end of a text that was cut. */
  beginning: number
  /** Whether the letter before it, and the one behind it, have some bits of the secret too. */
  shares: readonly [boolean, boolean]
}

/** Spellings of a secret, in texts as they are and in texts of which only letters and digits are left. */
export type Spellings = { withMarks: Spelling[]; lettersOnly: Spelling[] }

/** UTF-16 units of the beginning of a secret that are hidden at the end of a text that was cut. */
const SHORTEST_BEGINNING = 4
/** Of letters and digits alone: what is shorter stands in many texts by chance. */
const SHORTEST_OF_LETTERS = 6
/** Units of a piece: a third of a secret, and no word that somebody may have used in it. */
const SHORTEST_PIECE = 8

/** UTF-16 units of a secret that is looked for in all pairs of encodings, which are some sixty and long. */
const LONGEST_ENCODED_TWICE = 1_024

const NOTHING = [false, false] as const
/** Spelled exactly as it is, since it may be encoded once more. */
type Exact = { text: string; shares: readonly [boolean, boolean] }

/**
 * What a secret may look like in a text: as it is and reversed, in hexadecimal and base64, and in one of these within one
 * of these if it is not very long. `isWhole` says that pieces of it are no secret.
 */
export function spellingsOf(secret: string, isWhole: boolean): Spellings {
  const piece = isWhole ? secret.length : Math.max(SHORTEST_PIECE, Math.ceil(secret.length / 3))
  const once = [...encodings(secret), ...encodings(reversed(secret))]
  const plain = textsOf(secret).map((text): Exact => ({ text, shares: NOTHING }))
  const turned = [...plain, ...encodings(secret)].map(({ text }): Exact => ({ text: reversed(text), shares: NOTHING }))
  const twice = secret.length > LONGEST_ENCODED_TWICE ? [] : once.flatMap(({ text }) => encodings(text))
  const all = [...plain, ...once, ...turned, ...twice].map(({ text, shares }): Spelling => {
    const factor = text.length / secret.length
    return {
      text: text.toLowerCase(),
      piece: Math.max(Math.min(SHORTEST_PIECE, text.length), Math.min(text.length, Math.floor(piece * factor) - 2)),
      // Base64 spells it in a few letters more, and four of those are three of its own.
      beginning: factor < 2 ? SHORTEST_BEGINNING : Math.floor(SHORTEST_BEGINNING * factor),
      shares,
    }
  })
  const bare = all.map((one): Spelling => {
    const { text } = lettersOnly(firstLayer(one.text))
    return { ...one, text, piece: Math.min(one.piece, text.length) }
  })
  return {
    withMarks: distinct(all.filter(({ text }) => text.length >= SHORTEST_BEGINNING)),
    // Of a text that loses much with its marks, what is left may stand anywhere.
    lettersOnly: distinct(
      bare.filter(({ text, piece: least }, i) => {
        const { length } = (all[i] as Spelling).text
        return text.length >= Math.max(SHORTEST_OF_LETTERS, length / 2) && least >= SHORTEST_OF_LETTERS
      }),
    ),
  }
}

/** Headers hold Latin-1, so what is no ASCII may be taken for either encoding. In a form a space is a plus. */
function textsOf(secret: string): string[] {
  const latin1 = Buffer.from(secret, 'latin1')
  const utf8 = Buffer.from(secret, 'utf8')
  const texts = [secret, utf8.toString('latin1'), new TextDecoder().decode(latin1), secret.replaceAll(' ', '+')]
  return texts.map(firstLayer).flatMap((layer) => {
    // A secret may itself have in it what looks escaped; a layer that was decoded has it decoded.
    const once = decodeLayer(layer, false)
    const twice = once && decodeLayer(once, false)
    return [layer, once, twice].flatMap((one) => (one ? [withoutBlanks(lowered(one)).text] : []))
  })
}

/** In hexadecimal of either case, and in base64 of either alphabet wherever in the encoded text it begins. */
function encodings(text: string): Exact[] {
  return [Buffer.from(text, 'latin1'), Buffer.from(text, 'utf8')].flatMap((bytes, i, both) => {
    if (i > 0 && bytes.equals(both[0] as Buffer)) return []
    const hex = bytes.toString('hex')
    const base64 = [0, 1, 2].map((offset) => base64Within(bytes, offset))
    return [
      ...[hex, hex.toUpperCase()].map((one): Exact => ({ text: one, shares: NOTHING })),
      ...base64,
      ...base64
        .filter((one) => /[+/]/.test(one.text))
        .map((one) => ({ ...one, text: one.text.replaceAll('+', '-').replaceAll('/', '_') })),
    ]
  })
}

/** The letters of base64 that these bytes alone decide about when `offset` others stand before them. */
function base64Within(bytes: Buffer, offset: number): Exact {
  const end = offset + bytes.length
  const encoded = Buffer.concat([Buffer.alloc(offset), bytes]).toString('base64')
  const text = encoded.slice(Math.ceil((offset * 8) / 6), Math.floor((end * 8) / 6))
  return { text, shares: [offset > 0, end % 3 > 0] }
}

function reversed(text: string): string {
  return text.split('').reverse().join('')
}

function distinct(spellings: readonly Spelling[]): Spelling[] {
  const byText = new Map<string, Spelling>()
  for (const one of spellings) {
    const known = byText.get(one.text)
    if (!known || one.piece < known.piece) byText.set(one.text, one)
  }
  return [...byText.values()]
}
