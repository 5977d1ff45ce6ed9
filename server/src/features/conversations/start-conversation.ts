import { AppError } from '../../errors.ts'
import type { Clock } from '../../lib/clock.ts'
import type { IdSource } from '../../lib/ids.ts'
import type { JsonObject } from '../../lib/json.ts'
import type { Database, Statement } from '../../storage/database.ts'
import { variableRulesOf } from '../personas/persona-configuration.ts'
import type { PersonaService } from '../personas/persona-service.ts'
import { type Rendered, renderTemplate, type VariableRules } from '../personas/template.ts'
import type { Conversation, Message } from './conversation.ts'
import { insertConversation } from './conversation-queries.ts'
import { insertMessage } from './message-queries.ts'

/** Says which system and model `default` stands for at the moment; anything else is given back as it is. */
export type ResolveModel = (aiSystem: string, model: string) => Promise<{ aiSystem: string; model: string }>

export type Basics = {
  organizationId: string
  metadata: JsonObject | null
  externalUserId: string | null
  replacements: JsonObject
}
export type PersonaStart = Basics & { personaId: string; personaVersionId: string | null }
export type HistoryMessage = Pick<Message, 'role' | 'content' | 'name' | 'toolCallId' | 'toolCalls'>
export type GeneralStart = Basics & {
  systemMessage: string | null
  aiSystem: string
  model: string
  configuration: JsonObject | null
  dataspaceIds: string[] | null
  /** What was said before, in order. */
  history: HistoryMessage[]
}

/** A conversation that is ready to be written. */
export type StartedConversation = {
  conversation: Conversation
  messages: Message[]
  statements: Statement[]
  /** Variables that had no value and printed as nothing. */
  unresolved: string[]
}
export type ConversationStarter = ReturnType<typeof createConversationStarter>

/** Makes new conversations: renders the templates, freezes the result, and says what `default` means from now on. */
export function createConversationStarter(deps: {
  database: Database
  ids: IdSource
  clock: Clock
  personas: Pick<PersonaService, 'forConversation'>
  resolveModel: ResolveModel
}) {
  const { database, ids, clock, personas, resolveModel } = deps

  async function start(
    basics: Basics,
    from: Pick<Conversation, 'personaId' | 'personaVersionId' | 'configuration' | 'dataspaceIds' | 'isSecret'>,
    wanted: { aiSystem: string; model: string },
    texts: { system: string | null; history: HistoryMessage[] },
  ): Promise<Omit<StartedConversation, 'unresolved'>> {
    const { aiSystem, model } = await resolveModel(wanted.aiSystem, wanted.model)
    const id = ids.next()
    const createdAt = clock()
    const spoken: HistoryMessage[] = texts.system
      ? [{ role: 'system', content: texts.system, name: null, toolCallId: null }, ...texts.history]
      : texts.history
    const messages = spoken.map(
      (message): Message => ({
        ...message,
        id: ids.next(),
        runId: null,
        promptTokens: 0,
        completionTokens: 0,
        createdAt,
      }),
    )
    const conversation: Conversation = {
      ...from,
      id,
      aiSystem,
      model,
      createdAt,
      organizationId: basics.organizationId,
      externalUserId: basics.externalUserId,
      metadata: basics.metadata,
      status: 'open',
      name: null,
      isActive: true,
      isStarted: messages.some(({ role }) => role === 'user'),
      messageCount: messages.length,
      archivedCount: 0,
      systemMessageId: texts.system ? (messages[0] as Message).id : null,
      lastMessageId: messages.at(-1)?.id ?? null,
      promptTokens: 0,
      completionTokens: 0,
    }
    const key = { organizationId: basics.organizationId, conversationId: id }
    const statements = [
      insertConversation(database, conversation),
      ...messages.map((message) => insertMessage(database, key, message)),
    ]
    return { conversation, messages, statements }
  }

  return {
    /** From a persona's version. Throws what `forConversation` throws, and 422 naming each missing variable. */
    async fromPersona(request: PersonaStart): Promise<StartedConversation> {
      const { persona, version } = await personas.forConversation(
        request.organizationId,
        request.personaId,
        request.personaVersionId,
      )
      const rules = variableRulesOf(version.configuration)
      const { texts, unresolved } = renderAll([version.text, version.greeting], request.replacements, rules)
      const [system, greeting] = texts
      const started = await start(
        request,
        {
          personaId: persona.id,
          personaVersionId: version.id,
          configuration: version.configuration,
          dataspaceIds: version.dataspaceIds,
          isSecret: persona.isSecret,
        },
        version,
        {
          system: system ?? null,
          history: greeting ? [{ role: 'assistant', content: greeting, name: null, toolCallId: null }] : [],
        },
      )
      return { ...started, unresolved }
    },

    /** Without a persona. The system message is a template too. Throws 422 naming each missing variable. */
    async general(request: GeneralStart): Promise<StartedConversation> {
      const rules = variableRulesOf(request.configuration)
      const { texts, unresolved } = renderAll([request.systemMessage], request.replacements, rules)
      const { configuration, dataspaceIds } = request
      const started = await start(
        request,
        { personaId: null, personaVersionId: null, configuration, dataspaceIds, isSecret: false },
        request,
        { system: texts[0] ?? null, history: request.history },
      )
      return { ...started, unresolved }
    },
  }
}

function renderAll(templates: (string | null)[], values: JsonObject, rules: VariableRules) {
  const rendered = templates.map((template) => (template === null ? null : renderTemplate(template, values, rules)))
  const namesIn = (list: 'missing' | 'unresolved') => [
    ...new Set(rendered.filter((one): one is Rendered => one !== null).flatMap((one) => one[list])),
  ]
  const missing = namesIn('missing')
  if (missing.length > 0) {
    throw new AppError('unprocessable_entity', `required replacements are missing: ${missing.join(', ')}`, {
      details: missing.map((name) => ({ field: `replacements.${name}`, issue: 'is required' })),
    })
  }
  return { texts: rendered.map((one) => one?.text ?? null), unresolved: namesIn('unresolved') }
}
