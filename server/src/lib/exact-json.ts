/** What `json.ts` calls a `JsonValue`; that module needs this one. */
type Value = string | number | boolean | null | Value[] | { [key: string]: Value }

/** What `JSON.rawJSON` makes: a number as it was written. `JSON.stringify` writes it in the same digits. */
type RawJson = { readonly rawJSON: string }

/** `JSON` as Node.js has it; the types do not know all of it yet. */
const json = JSON as unknown as {
  parse(
    text: string,
    revive: (this: unknown, key: string, value: unknown, context: { source?: string }) => unknown,
  ): unknown
  rawJSON(text: string): RawJson
  isRawJSON(value: unknown): value is RawJson
}

/** Digits and points in a row that a JavaScript number may not be able to hold; digits of an exponent that may be too large. */
const MOST_DIGITS = 15
const MOST_OF_EXPONENT = 2

/**
 * Whether a text may have a number in it that loses digits when it is read as JavaScript does. Nearly none has. Three
 * digits in a row have one at every third place, so no more is looked at: an expression takes ten times as long, and this
 * is done for all that is read.
 */
export function mayHaveLongNumbers(text: string): boolean {
  for (let at = MOST_OF_EXPONENT; at < text.length; at += MOST_OF_EXPONENT + 1) {
    if (!isDigitOrPoint(text.charCodeAt(at))) continue
    let start = at
    while (isDigitOrPoint(text.charCodeAt(start - 1))) start--
    while (isDigitOrPoint(text.charCodeAt(at + 1))) at++
    const length = at + 1 - start
    const isLong = length > MOST_DIGITS || (length > MOST_OF_EXPONENT && isExponent(text, start))
    if (isLong && mayBeNumber(text, start, at + 1)) return true
  }
  return false
}

/**
 * Whether digits stand where a number may stand, and not in a name such as `fp_9766e549b2`, of which many answers of
 * providers have one: reading exactly takes six times as long.
 */
function mayBeNumber(text: string, from: number, to: number): boolean {
  let start = from
  let end = to
  while (isOfNumber(text.charCodeAt(start - 1))) start--
  while (isOfNumber(text.charCodeAt(end))) end++
  return (
    (start === 0 || /[\s:,[]/.test(text[start - 1] ?? '')) && (end === text.length || /[\s,\]}]/.test(text[end] ?? ''))
  )
}

/** Digits, a point, a sign, and the letter before an exponent. */
function isOfNumber(code: number): boolean {
  return isDigitOrPoint(code) || code === 43 || code === 45 || code === 69 || code === 101
}

function isDigitOrPoint(code: number): boolean {
  return (code >= 48 && code <= 57) || code === 46
}

function isExponent(text: string, start: number): boolean {
  const before = text[start - 1]
  return /[eE]/.test((before === '+' || before === '-' ? text[start - 2] : before) ?? '')
}

/** Whether a value stands for a number in the digits in which it was sent. It is an object, and none of JSON's. */
export function isExactNumber(value: unknown): boolean {
  return json.isRawJSON(value)
}

/**
 * `JSON.parse`, but a number that JavaScript cannot hold becomes one that is written again in the digits it had. An id
 * beyond 2^53 would become another one otherwise.
 */
export function parseExactly(text: string): Value {
  return (mayHaveLongNumbers(text) ? json.parse(text, keepDigits) : JSON.parse(text)) as Value
}

function keepDigits(this: unknown, _key: string, value: unknown, { source }: { source?: string }): unknown {
  return typeof value === 'number' && source !== undefined && !holds(value, source) ? json.rawJSON(source) : value
}

function holds(value: number, source: string): boolean {
  const written = String(value)
  return written === source || (Number.isFinite(value) && canonical(written) === canonical(source))
}

/** The same text for the same decimal number: its digits without zeros at the ends, and the power of ten. */
function canonical(number: string): string {
  const [, sign, whole = '', fraction = '', exponent = '0'] =
    /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(number) ?? []
  const digits = `${whole}${fraction}`.replace(/^0+/, '')
  const kept = withoutZerosBehind(digits)
  if (kept === '') return '0'
  return `${sign}${kept}e${Number(exponent) - fraction.length + digits.length - kept.length}`
}

function withoutZerosBehind(digits: string): string {
  let end = digits.length
  while (digits[end - 1] === '0') end--
  return digits.slice(0, end)
}
