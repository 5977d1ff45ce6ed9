import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { AppError } from '../../errors.ts'
import type { JsonObject, JsonValue } from '../../lib/json.ts'
import { MAX_RENDERED_LENGTH, renderTemplate, type VariableRules, variablesOf } from './template.ts'

const text = fc.string({ unit: 'binary' })
/** Text that opens and closes nothing, and escapes nothing behind it. */
const plain = text.map((value) => value.replaceAll(/[{}\\]/g, ''))
/** Any text may be the name of a variable that somebody has named. */
const anyName = fc.oneof(
  text.map((value) => value.replaceAll(/[{}]/g, '').trim()).filter((value) => value !== ''),
  fc.constantFrom('a b', 'user.name', '$&', "$'", 'price | round', '"a":1', '#if x'),
)
const name = fc.oneof(
  fc.stringMatching(/^[\p{L}\p{N}_][\p{L}\p{M}\p{N}_-]{0,8}$/u),
  fc.constantFrom('name', 'constructor', 'toString', '__proto__', 'valueOf', '0', 'größe'),
)
const space = fc.stringMatching(/^ {0,3}$/)
const json = fc.jsonValue() as fc.Arbitrary<JsonValue>
/** Objects without a prototype's help: `__proto__` is a name like any other. */
const record = <T>(value: fc.Arbitrary<T>) =>
  fc
    .array(fc.tuple(name, value), { maxLength: 6 })
    .map((entries) => Object.fromEntries(entries) as { [key: string]: T })
const values = record(json) as fc.Arbitrary<JsonObject>
const rules = record(
  fc.record({ default: json, required: fc.boolean(), description: fc.string() }, { requiredKeys: [] }),
) as fc.Arbitrary<VariableRules>
/** A template as the pieces it was made of: text between variables, each with its white space. */
const pieces = fc.array(
  fc.oneof(
    plain.map((value) => ({ kind: 'text' as const, value })),
    fc.record({ kind: fc.constant('variable' as const), name, before: space, after: space }),
  ),
  { maxLength: 12 },
)
type Pieces = typeof pieces extends fc.Arbitrary<infer T> ? T : never

const write = (from: Pieces) =>
  from.map((piece) => (piece.kind === 'text' ? piece.value : `{{${piece.before}${piece.name}${piece.after}}}`)).join('')
const namesIn = (from: Pieces) => [...new Set(from.flatMap((piece) => (piece.kind === 'text' ? [] : [piece.name])))]
const print = (value: JsonValue): string => {
  if (value === null) return ''
  if (typeof value === 'string') return value
  return typeof value === 'object' ? JSON.stringify(value) : `${value}`
}
const own = <T>(of: { [key: string]: T }, key: string): T | undefined => (Object.hasOwn(of, key) ? of[key] : undefined)

describe('a template', () => {
  test('becomes its text with the value of each variable in its place', () => {
    fc.assert(
      fc.property(pieces, values, rules, (from, given, ruled) => {
        const valueFor = (variable: string) => {
          const value = own(given, variable)
          return print(value !== undefined ? value : (own(ruled, variable)?.default ?? null))
        }
        const expected = from.map((piece) => (piece.kind === 'text' ? piece.value : valueFor(piece.name))).join('')
        expect(renderTemplate(write(from), given, ruled).text).toBe(expected)
      }),
    )
  })

  test('tells what is missing and what is left open, each once and in order', () => {
    fc.assert(
      fc.property(pieces, values, rules, (from, given, ruled) => {
        const open = namesIn(from).filter(
          (one) => own(given, one) === undefined && own(ruled, one)?.default === undefined,
        )
        const { missing, unresolved } = renderTemplate(write(from), given, ruled)
        expect(missing).toEqual(open.filter((one) => own(ruled, one)?.required === true))
        expect(unresolved).toEqual(open.filter((one) => own(ruled, one)?.required !== true))
      }),
    )
  })

  test('has the variables that it was written with', () => {
    fc.assert(
      fc.property(pieces, (from) => {
        expect(variablesOf(write(from), {})).toEqual(namesIn(from))
      }),
    )
  })

  test('is read once: what a value contains stays text', () => {
    fc.assert(
      fc.property(anyName, text, text, (variable, before, after) => {
        const value = `${before}{{${variable}}}${after}`
        const rendered = renderTemplate(`{{${variable}}}`, Object.fromEntries([[variable, value]]), {})
        expect(rendered).toEqual({ text: value, missing: [], unresolved: [] })
      }),
    )
  })

  test('can be any text: nothing throws, and the values of all its variables leave nothing open', () => {
    const braces = fc.string({ unit: fc.constantFrom('{', '}', '{{', '}}', ' ', 'a', '\n'), maxLength: 40 })
    fc.assert(
      fc.property(fc.oneof(text, braces), (template) => {
        const names = variablesOf(template, {})
        expect(renderTemplate(template, {}, {}).unresolved).toEqual(names)
        const all = renderTemplate(template, Object.fromEntries(names.map((one) => [one, 'x'])), {})
        expect(all).toMatchObject({ missing: [], unresolved: [] })
        if (names.length === 0) expect(all.text).toBe(template.replaceAll(/\\(\{\{[^{}]*\}\})/g, '$1'))
      }),
    )
  })

  test('keeps what is no name, unless somebody has named it so', () => {
    fc.assert(
      fc.property(anyName, json, (one, value) => {
        const template = `{{${one}}}`
        const isName = /^[\p{L}\p{N}_][\p{L}\p{M}\p{N}_-]*$/u.test(one)
        expect(renderTemplate(template, {}, {})).toEqual({
          text: isName ? '' : template,
          missing: [],
          unresolved: isName ? [one] : [],
        })
        const named = Object.fromEntries([[one, value]])
        expect(renderTemplate(template, named, {}).text).toBe(print(value))
        const ruled = Object.fromEntries([[one, { required: true }]])
        expect(renderTemplate(template, {}, ruled)).toEqual({ text: '', missing: [one], unresolved: [] })
        expect(variablesOf(template, ruled)).toEqual([one])
      }),
    )
  })

  test('shows its braces behind a backslash, which goes, and a backslash behind two', () => {
    fc.assert(
      fc.property(plain, anyName, plain, json, (before, one, after, value) => {
        const named = Object.fromEntries([[one, value]])
        expect(renderTemplate(`${before}\\{{${one}}}${after}`, named, {}).text).toBe(`${before}{{${one}}}${after}`)
        expect(renderTemplate(`${before}\\\\{{${one}}}`, named, {}).text).toBe(`${before}\\${print(value)}`)
        expect(variablesOf(`\\{{${one}}}`, {})).toEqual([])
      }),
    )
  })

  test('is not changed, nor are the values', () => {
    fc.assert(
      fc.property(pieces, values, rules, (from, given, ruled) => {
        const before = JSON.stringify([given, ruled])
        const template = write(from)
        expect(renderTemplate(template, given, ruled)).toEqual(renderTemplate(template, given, ruled))
        expect(JSON.stringify([given, ruled])).toBe(before)
      }),
    )
  })

  test('may grow to the limit and not beyond', () => {
    const value = 'x'.repeat(MAX_RENDERED_LENGTH / 4)
    expect(renderTemplate('{{a}}{{a}}{{a}}{{a}}', { a: value }, {}).text).toHaveLength(MAX_RENDERED_LENGTH)
    const tooLong = () => renderTemplate('{{a}}{{a}}{{a}}{{a}}.', { a: value }, {})
    expect(tooLong).toThrow(AppError)
    expect(tooLong).toThrow(expect.objectContaining({ code: 'unprocessable_entity' }))
  })

  test('of a megabyte of braces is read', () => {
    for (const unit of ['{', '{{', '}', '{{a', '{{ ', '{{a}', '\\\\', '\\\\{']) {
      const template = unit.repeat(1_000_000 / unit.length)
      expect(renderTemplate(template, { a: 'b' }, {}).text).toBe(template)
    }
  })
})
