import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const SOURCE = join(import.meta.dirname, '../../server/src')

/** What an operator writes, or a terminal shows, is no text of a stranger. */
const OF_OPERATORS =
  /^(cli\/|cli\.ts|config|bootstrap|storage\/|models\/providers\/provider-settings|models\/local\/|blobs\/blob-location)/

/** A regular expression as it stands in a line of code: behind something that no division stands behind. */
const LITERAL =
  /(?:^|[=(,:?[!&|>] ?|return )\/((?![*/\s])(?:[^/\\[]|\\.|\[(?:[^\]\\]|\\.)*\])+)\/([dgimsuvy]*)(?=[\s.,;)\]]|$)/g
const PATTERN = /\bpattern: '((?:[^'\\]|\\.)*)'/g

type Found = { at: string; source: string; flags: string }

function expressionsIn(file: string): Found[] {
  const lines = readFileSync(join(SOURCE, file), 'utf8')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => !/^(\/\/|\/?\*)/.test(line))
  const literals = lines.flatMap((line) =>
    [...line.matchAll(LITERAL)].map(([, source = '', flags = '']) => ({ at: file, source, flags })),
  )
  const patterns = [...lines.join('\n').matchAll(PATTERN)].map(([, escaped = '']) => ({
    at: file,
    flags: 'u',
    source: escaped.replaceAll('\\\\', '\\'),
  }))
  return [...literals, ...patterns]
}

const all = readdirSync(SOURCE, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts') && !OF_OPERATORS.test(file))
  .flatMap(expressionsIn)

/** What an expression is fed with: its own words and signs, and white space, which many take any amount of. */
function wordsOf(source: string): string[] {
  const plain = source.replaceAll(/\\[bBdDsSwWpPuxnrt]|\(\?(?:[:=!]|<[=!])/g, ' ').replaceAll('\\', '')
  const words = plain.match(/[\p{L}\d]+/gu) ?? []
  const signs = plain.match(/[^\p{L}\d\s]/gu) ?? []
  return [...new Set(['', ' ', '\n', 'a', '0', 'a.', 'é', ...words, ...signs, ...signs.map((sign) => sign + sign)])]
}

/** Beginnings, each with a long middle of one or two words in turns, and an end that makes most of them no match. */
function* inputsFor(source: string, length: number): Generator<string> {
  const words = wordsOf(source).slice(0, 24)
  const prefixes = [...words, ...words.flatMap((one) => ['{{secret:', '/Type', '<', '['].map((more) => more + one))]
  for (const prefix of new Set(prefixes)) {
    for (const pump of words) {
      if (pump === '') continue
      yield `${prefix}${pump.repeat(length / pump.length)}\u0001`
    }
  }
  for (const one of words) {
    for (const other of words) {
      const pump = one + other
      if (pump !== '') yield `${pump.repeat(length / pump.length)}\u0001`
    }
  }
}

/** Eight times as much text. */
const FACTOR = 8
const SHORT = 1_000
/** What that may take in place of eight times as long; 64 is what a square would take. */
const SLACK = 3
/** Milliseconds below which nothing is measured well. */
const LEAST_MS = 0.4

function msFor(pattern: RegExp, input: string): number {
  const start = performance.now()
  input.replace(pattern, '')
  return performance.now() - start
}

/** Whether the time for a long text is out of proportion to that for a short one of the same kind, each time that it is tried. */
function isOutOfProportion(pattern: RegExp, short: string, long: string): boolean {
  // On a busy machine others come in between, but not each time.
  for (let tries = 0; tries < 5; tries++) {
    if (msFor(pattern, long) <= FACTOR * SLACK * Math.max(msFor(pattern, short), LEAST_MS)) return false
  }
  return true
}

test('the expressions are found', () => {
  expect(all.length).toBeGreaterThan(70)
  const sources = all.map(({ source }) => source)
  expect(sources).toEqual(expect.arrayContaining(['^Bearer +(\\S+)$', '(\\\\{0,2})\\{\\{([^{}]*)\\}\\}', '\\S']))
})

/** The beginning of a text for which it takes out of all proportion; null where there is none. */
function findWorst(source: string, flags: string, length = SHORT): string | null {
  const pattern = new RegExp(source, flags.includes('g') ? flags : `${flags}g`)
  const longer = inputsFor(source, length * FACTOR)
  for (const short of inputsFor(source, length)) {
    const long = longer.next().value ?? ''
    if (isOutOfProportion(pattern, short, long)) return short.slice(0, 40)
  }
  return null
}

test.each(all)('$at: /$source/ takes time in proportion to its text', ({ source, flags }) => {
  expect(findWorst(source, flags)).toBeNull()
})

test.each([
  // The time of this one grows with the cube of the length.
  [String.raw`\{\{\s*secret:\s*([^{}]*?)\s*\}\}`, 150],
  ['<[^>]*>', SHORT * 2],
  [String.raw`<(script|style)[\s\S]*?<\/\1>`, SHORT * 6],
  [String.raw`\b[a-z][a-z0-9+.-]*:\/\/`, SHORT * 2],
] as const)('one that does not is found: /%s/', (source, length) => {
  expect(findWorst(source, 'i', length)).not.toBeNull()
})
