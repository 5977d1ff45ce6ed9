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

/** `{{name}}`. The class excludes braces, so matching is linear whatever the text. */
const VARIABLE = /\{\{([^{}]*)\}\}/g

/**
 * The largest text a template may become, in UTF-16 units. Without it a short template that repeats one long value
 * would grow to gigabytes.
 */
export const MAX_RENDERED_LENGTH = 4_000_000

/** The names of a template's variables, each once, in order of appearance. */
export function variablesOf(template: string): string[] {
  const names = new Set<string>()
  for (const match of template.matchAll(VARIABLE)) {
    const name = (match[1] as string).trim()
    if (name !== '') names.add(name)
  }
  return [...names]
}

/**
 * Replaces every `{{name}}` in one pass: a value that itself contains `{{…}}` stays text, and braces without a name
 * stay as they are. Throws 422 when the result would be longer than {@link MAX_RENDERED_LENGTH}.
 */
export function renderTemplate(template: string, values: JsonObject, rules: VariableRules): Rendered {
  const missing = new Set<string>()
  const unresolved = new Set<string>()
  let length = template.length

  const text = template.replace(VARIABLE, (braces: string, inner: string) => {
    const name = inner.trim()
    if (name === '') return braces
    const printed = printVariable(name)
    length += printed.length - braces.length
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
