import { isJsonObject } from '../../lib/json.ts'
import type { FileKind } from '../model-file.ts'
import type { Refusal } from './refusal.ts'
import { readWindowRefusal } from './window-refusals.ts'

/** UTF-16 units of a body that are read. */
const MOST_READ = 8_192

/** Statuses that say that something in the request is wrong, and not its address, its key or the provider. */
const OF_REQUEST: ReadonlySet<number> = new Set([400, 413, 415, 422])

/** What some say with 400 too, although no other message would help. */
const OF_ACCOUNT =
  /credit balance|billing|quota|insufficient (?:balance|funds|credit)|api[ _-]?key|subscription|(?:model|deployment)[^.]{0,60}(?:not found|not exist|no such|is unknown|not a valid model|not available|deprecated|decommissioned)|(?:invalid|unknown|no such) model/i

/** The names of parameters as Chat Completions spells them, by the spellings of others. */
const PARAMETERS: ReadonlyMap<string, string> = new Map([
  ['max_tokens', 'max_tokens'],
  ['maxtokens', 'max_tokens'],
  ['maxoutputtokens', 'max_tokens'],
  ['max_output_tokens', 'max_tokens'],
  ['max_completion_tokens', 'max_completion_tokens'],
  ['temperature', 'temperature'],
  ['top_p', 'top_p'],
  ['topp', 'top_p'],
  ['p', 'top_p'],
  ['top_k', 'top_k'],
  ['topk', 'top_k'],
  ['stop', 'stop'],
  ['stop_sequences', 'stop'],
  ['stopsequences', 'stop'],
  ['seed', 'seed'],
  ['random_seed', 'seed'],
  ['frequency_penalty', 'frequency_penalty'],
  ['frequencypenalty', 'frequency_penalty'],
  ['presence_penalty', 'presence_penalty'],
  ['presencepenalty', 'presence_penalty'],
  ['response_format', 'response_format'],
  ['responseformat', 'response_format'],
  ['responsemimetype', 'response_format'],
  ['response_mime_type', 'response_format'],
  ['responseschema', 'response_format'],
  ['response_schema', 'response_format'],
  ['output_format', 'response_format'],
  ['output_config', 'response_format'],
  ['json_schema', 'response_format'],
  ['json_object', 'response_format'],
  ['stream_options', 'stream_options'],
  ['include_usage', 'stream_options'],
  ['parallel_tool_calls', 'parallel_tool_calls'],
  ['tool_choice', 'tool_choice'],
  ['reasoning_effort', 'reasoning_effort'],
  ['reasoning', 'reasoning'],
  ['thinking', 'thinking'],
  ['enable_thinking', 'enable_thinking'],
  ['chat_template_kwargs', 'chat_template_kwargs'],
])

/** Words by which a parameter is refused. */
const REFUSES =
  /unsupported|not support|not permitted|not allowed|unrecogni[sz]ed|unknown|unexpected|extraneous|extra inputs|extra fields|extra_forbidden|deprecated|invalid|cannot both|only one|only the default|not available|unavailable|not enabled|is not a valid|incompatible|use .{0,40} instead|requires --|must be/i

const FILTERED =
  /content[ _-]?(?:filter|management|policy|policies|exists risk|moderation)|responsible[ _]?ai|flagged|usage polic|safety (?:system|polic|check|filter|setting)|blocked by|prohibited[ _]content|violat|moderation|data_inspection_failed|inappropriate content|invalid_prompt|sensitive content|unsafe content|high risk|blocked due to/i

const FILES: readonly (readonly [RegExp, FileKind | null])[] = [
  [/\bpdf\b|application\/pdf/i, 'pdf'],
  [/\bimages?\b|image_url|input_image|vision|mmproj|multi-?modal/i, 'image'],
  [/file_data|input_file|\bdocuments?\b|\battach|media[ _]type|mime[ _]?type|\bfiles?\b/i, null],
]

/** A content that may only be text: what those say that take no parts. */
const ONLY_TEXT =
  /content.{0,40}(?:must be|should be|expected|valid).{0,20}string|expected `?text`?|only (?:supports?|accepts?) text/i

/** What is refused by an answer with this status and body; null when it says nothing of the request. */
export function readRefusal(status: number, body: string): Refusal | null {
  const said = body.slice(0, MOST_READ)
  const window = readWindowRefusal(status, said)
  if (window !== null) return window
  if (status === 403) return FILTERED.test(said) ? { about: 'content' } : null
  if (status === 404) return /support.{0,20}(?:image|file|pdf) input/i.test(said) ? fileIn(said) : null
  if (!OF_REQUEST.has(status)) return null
  if (OF_ACCOUNT.test(said)) return null
  return aboutContent(said) ?? aboutRoles(said) ?? aboutReply(said) ?? aboutForm(said) ?? { about: 'something' }
}

/** The same of an error inside a stream, which has no status: only what can be nothing else. */
export function readRefusalInStream(said: string): Refusal | null {
  return readWindowRefusal(200, said.slice(0, MOST_READ))
}

function aboutContent(said: string): Refusal | null {
  return FILTERED.test(said) ? { about: 'content' } : null
}

function aboutRoles(said: string): Refusal | null {
  if (!/\brole|system (?:message|prompt)|developer/i.test(said)) return null
  if (/developer instruction/i.test(said)) return { about: 'system role' }
  if (/developer/i.test(said) && REFUSES_ROLE.test(said)) return { about: 'developer role' }
  if (/system/i.test(said) && !/after role/i.test(said) && REFUSES_SYSTEM.test(said)) return { about: 'system role' }
  if (/after role|must alternate|alternat|role order|message_order|unexpected role|expected last role/i.test(said)) {
    return { about: 'order' }
  }
  return null
}

const REFUSES_ROLE = /unexpected|unknown|not one of|unsupported|not support|invalid|input should be|expected one of/i
const REFUSES_SYSTEM =
  /system (?:role|message|prompt)s? (?:is |are )?not (?:supported|allowed|enabled)|not support (?:'|"|`)?system|unexpected role (?:'|"|`)?system/i

/** A longest reply that is longer than the model's. */
function aboutReply(said: string): Refusal | null {
  if (!/max_?(?:completion_|output_?)?tokens|maximum tokens/i.test(said)) return null
  for (const pattern of LONGEST_REPLY) {
    const most = Number(pattern.exec(said)?.[1]?.replaceAll(',', ''))
    if (most > 0) return { about: 'reply', most: pattern === EXCLUSIVE ? most - 1 : most }
  }
  return null
}

const EXCLUSIVE = /supported range is from \d{1,12} \(inclusive\) to ([\d,]{1,15}) \(exclusive\)/i
const LONGEST_REPLY: readonly RegExp[] = [
  EXCLUSIVE,
  /supports at most ([\d,]{1,15}) completion tokens/i,
  /max_tokens.{0,10}: [\d,]{1,15} > ([\d,]{1,15})/i,
  /model limit of ([\d,]{1,15})/i,
  /less than or equal to `?([\d,]{1,15})/i,
  /valid range of max_tokens is \[\d{1,12}, ?([\d,]{1,15})\]/i,
  /max_?(?:completion_|output_?)?tokens.{0,60}(?:cannot exceed|must be at most|maximum (?:is|of)|at most|not exceed) ([\d,]{1,15})/i,
]

function aboutForm(said: string): Refusal | null {
  const named = namesIn(said)
  if (named.isSchema) return { about: 'schema' }
  if (named.names.length > 0) return parameterIn(named.names, said)
  return ONLY_TEXT.test(said) ? { about: 'file', kind: null } : fileIn(said)
}

function parameterIn(names: readonly string[], said: string): Refusal {
  const [first = ''] = names
  const isPair = /both|only one/i.test(said) && names.includes('temperature') && names.includes('top_p')
  if (isPair) return { about: 'parameter', names: ['top_p'], instead: null }
  const isSpelling = first === 'max_tokens' || first === 'max_completion_tokens'
  if (!isSpelling) return { about: 'parameter', names, instead: null }
  const instead = first === 'max_tokens' ? 'max_completion_tokens' : 'max_tokens'
  return {
    about: 'parameter',
    names: [first],
    instead: said.includes(instead) || first === 'max_tokens' ? instead : null,
  }
}

function fileIn(said: string): Refusal | null {
  const found = FILES.find(([words]) => words.test(said))
  return found ? { about: 'file', kind: found[1] } : null
}

/** The parameters that are named: by a member that is there for it, else in the sentence. */
function namesIn(said: string): { names: string[]; isSchema: boolean } {
  const pointers = pointersIn(said)
  const isOfTool = pointers.some((pointer) => /^(?:body\.)?tools|input_schema|function_declarations/.test(pointer))
  const isSchema =
    isOfTool ||
    /invalid_function_parameters|invalid schema|input_schema|function_declarations|schema (?:is invalid|must)|json schema|\$ref|\$defs|response_schema|generation_config\.response_schema/i.test(
      said,
    )
  if (isSchema && !pointers.some((pointer) => PARAMETERS.get(pointer) === 'response_format')) {
    return { names: [], isSchema: true }
  }
  const pointed = pointers.flatMap((pointer) => PARAMETERS.get(lastNameOf(pointer)) ?? [])
  if (pointed.length > 0) return { names: [...new Set(pointed)], isSchema: isSchema && /invalid schema/i.test(said) }
  if (!REFUSES.test(said)) return { names: [], isSchema }
  const words = said.toLowerCase().match(/[a-z_]{2,40}/g) ?? []
  const spoken = words.flatMap((word) => PARAMETERS.get(word) ?? [])
  // Words that mean something else as well count only where they stand between quotes, or as the name of a member.
  const names = spoken.filter((name) => !AMBIGUOUS.has(name) || new RegExp(`["'\`.]${name}["'\`]`).test(said))
  return { names: [...new Set(names)], isSchema }
}

const AMBIGUOUS: ReadonlySet<string> = new Set(['stop', 'seed', 'reasoning', 'thinking'])

function lastNameOf(pointer: string): string {
  const names = pointer.toLowerCase().match(/[a-z_]+/g) ?? []
  return names.findLast((name) => PARAMETERS.has(name)) ?? ''
}

/** The members `param` and `loc` of an error, wherever they stand: what they point at. */
function pointersIn(said: string): string[] {
  let parsed: unknown
  try {
    parsed = JSON.parse(said)
  } catch {
    return []
  }
  const found: string[] = []
  const open: unknown[] = [parsed]
  for (let looked = 0; open.length > 0 && looked < 200; looked++) {
    const one = open.pop()
    if (Array.isArray(one)) open.push(...one)
    else if (isJsonObject(one)) {
      const { param, loc } = one
      if (typeof param === 'string') found.push(param)
      if (Array.isArray(loc)) found.push(loc.join('.'))
      open.push(...Object.values(one))
    }
  }
  return found
}
