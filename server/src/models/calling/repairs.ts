import type { Dialect } from '../dialects/dialect.ts'
import { plainSchema, withMembers } from '../dialects/plain-schema.ts'
import type { ModelRequest } from '../model.ts'
import type { ModelError } from '../model-error.ts'
import { kindOfFile, type ModelFile } from '../model-file.ts'
import type { Refusal } from '../refusals/refusal.ts'
import { plainResponseFormat } from '../response-format.ts'
import type { ModelSettings } from '../settings.ts'
import type { ToolDefinition } from '../tool-call.ts'
import { hasFiles, withoutFiles } from './fit-files.ts'
import { bridged, withSystemInside } from './fit-roles.ts'
import { fitWindow } from './fit-window.ts'
import { type LearnedWindow, learnWindow, replyIn, roomIn } from './learned-window.ts'

/** Models of which something is remembered, and files of each that it has refused. */
const MOST_MODELS = 512
const MOST_FILES = 512

type Asked = { aiSystem: string; model: string }
/** The part of a request that can be made acceptable. */
export type Fittable = Pick<ModelRequest, 'system' | 'messages' | 'settings' | 'tools' | 'mustAnswer' | 'dialect'>

/** What one model has refused so far. */
type Learned = {
  without: Set<string>
  renamed: Record<string, string>
  noDeveloper: boolean
  noSystem: boolean
  bridges: boolean
  plainSchemas: boolean
  /** What may still be asked for in the place of a form that was refused. */
  form: 'any' | 'json_object' | 'none'
  mostReply: number | null
  window: LearnedWindow | null
  files: Set<string>
}

export type Repairs = ReturnType<typeof createRepairs>

/**
 * Remembers what providers have refused, for each of their models, and makes requests so that it is not refused again:
 * parameters left out or spelled otherwise, a shorter talk, a file left out and named, roles in another order, schemas
 * with less in them. Nothing is done for a model that has refused nothing.
 */
export function createRepairs() {
  const models = new Map<string, Learned>()

  function learnedOf({ aiSystem, model }: Asked): Learned {
    const name = `${aiSystem} ${model}`
    const known = models.get(name)
    if (known) return known
    if (models.size >= MOST_MODELS) models.clear()
    const learned: Learned = {
      without: new Set(),
      renamed: {},
      noDeveloper: false,
      noSystem: false,
      bridges: false,
      plainSchemas: false,
      form: 'any',
      mostReply: null,
      window: null,
      files: new Set(),
    }
    models.set(name, learned)
    return learned
  }

  return {
    /** The request as this model takes it. */
    fit<Request extends Fittable>(request: Request, model: Asked): Request {
      const tools = request.tools && toolsWithMembers(request.tools)
      const usual = tools === request.tools ? request : { ...request, ...(tools && { tools }) }
      const learned = models.size === 0 ? undefined : models.get(`${model.aiSystem} ${model.model}`)
      return learned ? fitTo(usual, learned) : usual
    },

    /**
     * Takes in what a model has refused. True when the same request, fitted again, is another one. Where nothing says what
     * was meant, files are given up only if there is no other model to be asked (`isLast`).
     */
    learn(error: ModelError, request: Fittable, model: Asked, isLast: boolean): boolean {
      const { refusal } = error
      if (refusal === undefined) return false
      // Files are what a body is too large for, and what is most often meant where nothing is said.
      const { about } = refusal
      const mayBeFiles =
        about === 'file' || (about === 'something' && isLast) || (about === 'window' && error.status === 413)
      const learned = learnedOf(model)
      if (mayBeFiles && learnFiles(learned, request, refusal)) return true
      return learnFrom(learned, refusal, request)
    },

    /** Tokens that a model has been found to see; null where it has refused nothing for its length. */
    windowOf: ({ aiSystem, model }: Asked): number | null => models.get(`${aiSystem} ${model}`)?.window?.tokens ?? null,
  }
}

function fitTo<Request extends Fittable>(request: Request, learned: Learned): Request {
  const { window } = learned
  const { system, ...asked } = learned.noSystem ? withSystemInside(request) : request
  const settings = settingsFor(request.settings, learned)
  let messages =
    learned.files.size > 0 ? withoutFiles(asked.messages, ({ id }) => learned.files.has(id)) : asked.messages
  // One that does not fit goes as it is, and is refused as what it is.
  if (window !== null) messages = fitWindow(messages, roomIn(window, { ...request, settings })) ?? messages
  if (learned.bridges) messages = bridged(messages)
  const dialect: Dialect = {
    without: [...learned.without],
    renamed: learned.renamed,
    noDeveloper: learned.noDeveloper,
  }
  return {
    ...request,
    system,
    messages,
    settings: window === null ? settings : { ...settings, ...replyIn(window, settings) },
    ...(request.tools && learned.plainSchemas && { tools: request.tools.map(plainTool) }),
    dialect,
  }
}

/** What is set by name is left out here, so that it is for all protocols, whatever they call it. */
const SETTING_OF: Readonly<Record<string, keyof ModelSettings>> = {
  temperature: 'temperature',
  top_p: 'topP',
  top_k: 'topK',
  stop: 'stop',
  seed: 'seed',
  frequency_penalty: 'frequencyPenalty',
  presence_penalty: 'presencePenalty',
  max_tokens: 'maxTokens',
}

function settingsFor(settings: ModelSettings, { without, form, mostReply, plainSchemas }: Learned): ModelSettings {
  const fitted = { ...settings }
  for (const name of without) {
    const setting = SETTING_OF[name]
    if (setting !== undefined) delete fitted[setting]
  }
  if (mostReply !== null && fitted.maxTokens !== undefined) fitted.maxTokens = Math.min(fitted.maxTokens, mostReply)
  const format = plainResponseFormat(fitted.responseFormat)
  if (format === null || format.type === 'text') return fitted
  if (form === 'none') delete fitted.responseFormat
  else if (form === 'json_object') fitted.responseFormat = { type: 'json_object' }
  else if (plainSchemas && format.type === 'json_schema') {
    const { json_schema } = format
    fitted.responseFormat = {
      type: 'json_schema',
      json_schema: { ...json_schema, schema: plainSchema(json_schema.schema) },
    }
  }
  return fitted
}

function learnFrom(learned: Learned, refusal: Refusal, request: Fittable): boolean {
  switch (refusal.about) {
    case 'window': {
      const window = learnWindow(learned.window, refusal, request)
      if (window === null) return false
      const fitted = fitWindow(request.messages, roomIn(window, request))
      // Nothing can be left out of a message that is too long by itself: it says nothing of others.
      if (fitted !== null || (refusal.most !== null && learned.window === null)) learned.window = window
      const isShorter = replyIn(window, request.settings).maxTokens !== request.settings.maxTokens
      return fitted !== null && (fitted !== request.messages || isShorter)
    }
    case 'reply': {
      if (request.settings.maxTokens === undefined || request.settings.maxTokens <= refusal.most) return false
      learned.mostReply = refusal.most
      return true
    }
    case 'parameter':
      return refusal.names.map((name) => learnParameter(learned, name, refusal.instead, request)).includes(true)
    case 'schema': {
      const hasSchema = (request.tools?.length ?? 0) > 0 || isForm(request, 'json_schema')
      if (hasSchema && !learned.plainSchemas) {
        learned.plainSchemas = true
        return true
      }
      return isForm(request, 'json_schema') && learnForm(learned, request)
    }
    case 'developer role': {
      if (learned.noDeveloper) return learnNoSystem(learned, request)
      learned.noDeveloper = true
      return true
    }
    case 'system role':
      return learnNoSystem(learned, request)
    case 'order': {
      if (!learned.bridges && bridged(request.messages) !== request.messages) {
        learned.bridges = true
        return true
      }
      return learnNoSystem(learned, request)
    }
    default:
      return false
  }
}

function learnParameter(learned: Learned, name: string, instead: string | null, request: Fittable): boolean {
  if (name === 'response_format') return learnForm(learned, request)
  if (learned.without.has(name)) return false
  if (instead !== null && learned.renamed[name] === undefined && learned.renamed[instead] !== name) {
    learned.renamed[name] = instead
    return true
  }
  // What it is called is no longer of interest when it is not taken by any name.
  const own = Object.entries(learned.renamed).find(([, other]) => other === name)?.[0]
  learned.without.add(own ?? name)
  if (own !== undefined) delete learned.renamed[own]
  return true
}

function learnForm(learned: Learned, request: Fittable): boolean {
  if (learned.form === 'none' || request.settings.responseFormat === undefined) return false
  learned.form = isForm(request, 'json_schema') ? 'json_object' : 'none'
  return true
}

function isForm({ settings }: Fittable, type: string): boolean {
  return plainResponseFormat(settings.responseFormat)?.type === type
}

function learnNoSystem(learned: Learned, request: Fittable): boolean {
  if (learned.noSystem || request.system === null) return false
  learned.noSystem = true
  return true
}

/** First those that came last, of the kind that is named, and then all. */
function learnFiles(learned: Learned, { messages }: Fittable, refusal: Refusal): boolean {
  const kind = refusal.about === 'file' ? refusal.kind : null
  const isMeant = (file: ModelFile) => kind === null || kindOfFile(file.mediaType) === kind
  const newest = messages.findLast((message) => hasFiles(message) && message.attachments.some(isMeant))
  const all = messages.flatMap((message) => (hasFiles(message) ? message.attachments : []))
  const refused = newest && hasFiles(newest) ? newest.attachments.filter(isMeant) : all
  if (refused.length === 0) return false
  for (const { id } of refused) learned.files.add(id)
  for (const id of learned.files) {
    if (learned.files.size <= MOST_FILES) break
    learned.files.delete(id)
  }
  return true
}

/** The same array where nothing is missing. */
function toolsWithMembers(tools: readonly ToolDefinition[]): readonly ToolDefinition[] {
  if (tools.every(({ inputSchema }) => withMembers(inputSchema) === inputSchema)) return tools
  return tools.map((tool) => ({ ...tool, inputSchema: withMembers(tool.inputSchema) }))
}

function plainTool(tool: ToolDefinition): ToolDefinition {
  return { ...tool, inputSchema: plainSchema(tool.inputSchema) }
}
