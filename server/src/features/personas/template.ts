import { AppError } from '../../errors.ts'
import type { JsonObject, JsonValue } from '../../lib/json.ts'

/** What a persona version says about one variable of its templates. */
export type VariableRule = { default?: JsonValue; required?: boolean; description?: string }
export type VariableRules = { [name: string]: VariableRule }

export type Rendered = {
  text: string
  /** Required variables without a value or a default, in order of appearance. */
  missing: string[]
  /** Other variables without either; they print as nothing. */
  unresolved: string[]
}

/** `{{name}}` and the backslashes that count before it. The class excludes braces, so matching is linear whatever the text. */
const BRACES = /(\\{0,2})\{\{([^{}]*)\}\}/g

/**
 * What is a name by its form alone. Code, JSON and style sheets have double braces too, with signs, dots or several words
 * between them: `{{ price | round }}`, `{{ user.name }}`, `{{"a":1}}`, `{{#if open}}`.
 */
const NAME = /^[\p{L}\p{N}_][\p{L}\p{M}\p{N}_-]*$/u

/**
 * The largest text a template may become, in UTF-16 units. Without it a short template that repeats one long value
 * would grow to gigabytes.
 */
export const MAX_RENDERED_LENGTH = 4_000_000

/** The names of a template's variables, each once, in order of appearance. A name of another form is one if a rule has it. */
export function variablesOf(template: string, rules: VariableRules): string[] {
  const names = new Set<string>()
  for (const [, backslashes, inner] of template.matchAll(BRACES)) {
    const name = (inner as string).trim()
    if (backslashes !== '\\' && isVariable(name, {}, rules)) names.add(name)
  }
  return [...names]
}

/** Whether it has the form of a name, or somebody calls something so. */
function isVariable(name: string, values: JsonObject, rules: VariableRules): boolean {
  return NAME.test(name) || (name !== '' && (Object.hasOwn(values, name) || Object.hasOwn(rules, name)))
}

/**
 * Replaces every `{{name}}` in one pass: a value that itself contains `{{…}}` stays text. Braces around anything else than
 * the name of a variable stay as they are, and so do those behind a backslash, which goes: `\{{name}}` is the text
 * `{{name}}`, and `\\{{name}}` a backslash before the value. Throws 422 when the result would be longer than
 * {@link MAX_RENDERED_LENGTH}.
 */
export function renderTemplate(template: string, values: JsonObject, rules: VariableRules): Rendered {
  const missing = new Set<string>()
  const unresolved = new Set<string>()
  let length = template.length

  const text = template.replace(BRACES, (found: string, backslashes: string, inner: string) => {
    if (backslashes === '\\') return found.slice(1)
    const name = inner.trim()
    if (!isVariable(name, values, rules)) return found
    const printed = backslashes.slice(1) + printVariable(name)
    length += printed.length - found.length
    if (length > MAX_RENDERED_LENGTH) {
      throw new AppError('unprocessable_entity', 'the replacements make the text of the persona too long')
    }
    return printed
  })
  return { text, missing: [...missing], unresolved: [...unresolved] }

  function printVariable(name: string): string {
    if (Object.hasOwn(values, name)) return print(values[name] as JsonValue)
    const rule = Object.hasOwn(rules, name) ? rules[name] : undefined
    if (rule?.default !== undefined) return print(rule.default)
    const list = rule?.required ? missing : unresolved
    list.add(name)
    return ''
  }
}

/** Strings, numbers and booleans as they are, null as nothing, the rest as JSON. */
function print(value: JsonValue): string {
  if (value === null) return ''
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}
