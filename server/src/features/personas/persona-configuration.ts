import { badField } from '../../errors.ts'
import { AnyJson } from '../../http/schemas.ts'
import type { JsonObject } from '../../lib/json.ts'
import { type Static, Type } from '../../lib/schema.ts'
import { NO_AI_SYSTEM, parseAiSystem } from '../../models/ai-systems.ts'
import { ModelSettings } from '../../models/settings.ts'
import { checkTools } from '../tools/check-tools.ts'
import { ToolSettings } from '../tools/tool-settings.ts'
import { ContextSettings } from './context-settings.ts'
import type { VariableRules } from './template.ts'

const VariableRule = Type.Object({
  default: Type.Optional(AnyJson),
  required: Type.Optional(Type.Boolean()),
  description: Type.Optional(Type.String({ maxLength: 2_000 })),
})

/**
 * `personaConfiguration`: how the model is called, how much it gets to see, what it may call, and what the templates' variables are. Other
 * fields are kept.
 */
export const PersonaConfiguration = Type.Object(
  {
    ...ModelSettings.properties,
    ...ContextSettings.properties,
    ...ToolSettings.properties,
    variables: Type.Optional(Type.Record(Type.String(), VariableRule)),
  },
  { title: 'PersonaConfiguration' },
)

export const NullablePersonaConfiguration = Type.Unsafe<Static<typeof PersonaConfiguration> | null>({
  ...PersonaConfiguration,
  type: ['object', 'null'],
})

/** A validated configuration as domain code has it. Throws 400 for a model of a system nobody knows. */
export function toConfiguration(field: string, value: Static<typeof PersonaConfiguration>): JsonObject {
  value.fallbacks?.forEach((fallback, i) => {
    if (!parseAiSystem(fallback.aiSystem)) throw badField(`${field}.fallbacks.${i}.aiSystem`, NO_AI_SYSTEM)
  })
  if (value.summaryModel && !parseAiSystem(value.summaryModel.aiSystem))
    throw badField(`${field}.summaryModel.aiSystem`, NO_AI_SYSTEM)
  checkTools(field, value)
  return value as unknown as JsonObject
}

/** Our name of an AI system. Throws 400 for one that nobody knows. */
export function toAiSystem(value: string | number): string {
  const aiSystem = parseAiSystem(value)
  if (!aiSystem) throw badField('aiSystem', NO_AI_SYSTEM)
  return aiSystem
}

/** The rules for variables in a stored configuration. */
export function variableRulesOf(configuration: JsonObject | null): VariableRules {
  return (configuration?.['variables'] ?? {}) as VariableRules
}
