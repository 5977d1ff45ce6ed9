import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply } from 'fastify'
import { badField } from '../../../errors.ts'
import { sseEvent } from '../../../http/answers/sse.ts'
import { answersAs } from '../../../http/schemas.ts'
import type { Static } from '../../../lib/schema.ts'
import type { Database } from '../../../storage/database.ts'
import type { AttachmentInputs } from '../../attachments/attachment-schemas.ts'
import { givenIn } from '../../attachments/attachment-wire.ts'
import {
  ConversationDto,
  CreateConversationRequest,
  CreatePersonaConversationRequest,
} from '../../conversations/conversation-schemas.ts'
import type { ConversationService } from '../../conversations/conversation-service.ts'
import {
  namesPersona,
  toConversationDto,
  toGeneralStart,
  toPersonaStart,
} from '../../conversations/conversation-wire.ts'
import type { ConversationStarter, StartedConversation } from '../../conversations/start-conversation.ts'
import type { Claim, KnownClaim } from '../../idempotency/claim.ts'
import { once } from '../../idempotency/claim.ts'
import type { CheckConfiguration } from '../../personas/check-configuration.ts'
import type { ReadableRun } from '../reply/readable-run.ts'
import type { RunService } from '../run-service.ts'
import type { TurnService } from '../turn-service.ts'
import { lastOf, openingAgain, openingOf, upToReply } from './first-turn.ts'
import { streamReply } from './reply-stream.ts'
import { endOf, failureOfWhole } from './run-outcome.ts'
import {
  attach,
  cancelOnDisconnect,
  originOf,
  type TurnHttpRequest,
  TurnOptions,
  tellWarnings,
} from './turn-request.ts'
import { Events, OF_A_TURN } from './turn-schemas.ts'

const tags = ['Conversations']
const CONVERSATION_OR_EVENTS = { 'application/json': ConversationDto, 'text/event-stream': Events }
const WARNING = '299 dramatis "dataspaceIds are stored and have no effect yet"'

/** How starting with a persona is known when it is sent again. */
const START_WITH_PERSONA = 'POST /conversations/persona'

/** Clients refuse an answer whose headers are longer than 16 KiB in all, many proxies at 8 KiB. */
const MAX_HEADER_LENGTH = 4_096

/** What there is to say about a new conversation besides itself. */
function headersOf({ conversation, unresolved }: StartedConversation): Record<string, string> {
  return {
    ...(unresolved.length > 0 && { 'x-dramatis-unresolved-variables': toHeader(unresolved) }),
    ...(conversation.dataspaceIds && conversation.dataspaceIds.length > 0 && { warning: WARNING }),
  }
}

/** The names percent-encoded and separated by commas; `...` stands for those that do not fit. */
function toHeader(names: readonly string[]): string {
  let header = ''
  for (const name of names) {
    const next = `${header === '' ? '' : `${header}, `}${encodeURIComponent(name)}`
    if (next.length > MAX_HEADER_LENGTH) return header === '' ? '...' : `${header}, ...`
    header = next
  }
  return header
}

/** Starting a conversation, with or without a first message in the same request. */
export function startRoutes(deps: {
  database: Database
  starter: ConversationStarter
  turns: TurnService
  runs: RunService
  conversations: Pick<ConversationService, 'getUntil'>
  checkConfiguration: CheckConfiguration
}): FastifyPluginAsyncTypebox {
  const { database, starter, turns, runs, conversations, checkConfiguration } = deps

  async function answer(request: StartRequest, reply: FastifyReply, start: () => Promise<StartedConversation>) {
    const { message, stream, attachments } = request.body
    if (!message && attachments?.length) throw badField('attachments', 'need a message to stand with')
    if (!message) return create(request, reply, await start())
    const { run, opening } = await once<Begun>(
      request.keyed,
      () => begin(request, reply, start, message),
      (known) => beginAgain(request, reply, known),
    )
    if (stream) {
      const { conversation, messages } = await opening()
      const preamble = sseEvent(JSON.stringify(toConversationDto(conversation, messages)), { event: 'conversation' })
      await streamReply(reply, run, { format: 'sse', from: 0, preamble, reasoning: request.query.reasoning })
      return reply
    }
    reply.header('x-dramatis-run-id', run.runId)
    const end = await endOf(run)
    tellWarnings(reply, run)
    const error = failureOfWhole(run, end)
    if (error) throw error
    const { organizationId } = request.caller
    const { conversationId, runId } = run
    const exchange = await runs.exchangeOf({ organizationId, conversationId, runId })
    const now = await conversations.getUntil(organizationId, conversationId, lastOf(exchange))
    const after = upToReply(now, exchange, end.usage)
    return toConversationDto(after.conversation, after.messages)
  }

  async function create(request: StartRequest, reply: FastifyReply, started: StartedConversation) {
    reply.headers(headersOf(started))
    if (request.keyed) request.keyed.conversationId = started.conversation.id
    await database.write(started.statements)
    return toConversationDto(started.conversation, started.messages)
  }

  async function begin(
    request: StartRequest,
    reply: FastifyReply,
    start: () => Promise<StartedConversation>,
    text: string,
  ): Promise<Begun> {
    const started = await start()
    const headers = headersOf(started)
    reply.headers(headers)
    const { claim, ...origin } = originOf(request)
    const kept = claim && { ...claim, statement: (run: ClaimedRun) => claim.statement(run, headers) }
    const given = givenIn(request.body)
    const run = await turns.startWith(started, { ...origin, claim: kept, text, given })
    cancelOnDisconnect(request, reply, run)
    return { run, opening: async () => openingOf(started, run.userMessage) }
  }

  async function beginAgain(request: StartRequest, reply: FastifyReply, known: KnownClaim): Promise<Begun> {
    const run = await attach(runs, request, reply, known)
    const { organizationId } = request.caller
    const { conversationId, runId } = run
    const opening = async () => {
      const exchange = await runs.exchangeOf({ organizationId, conversationId, runId })
      const found = await conversations.getUntil(organizationId, conversationId, exchange.question.id)
      return openingAgain(found, exchange)
    }
    return { run, opening }
  }

  return async (app) => {
    const keeps = (body: unknown) => ((body as StartRequest['body']).message ? 'run' : 'effect')
    const config = { scope: 'conversations:write', isNewWork: true, mayLast: true, idempotency: { keeps } } as const
    const description =
      'With `message` the first user message is sent in the same request: the reply is in `chatMessages`, or streams ' +
      'as server-sent events with `stream: true`, after an event `conversation`.'

    app.post(
      '/conversations/persona',
      {
        config,
        schema: {
          tags,
          description,
          summary: 'Start a conversation with a persona',
          querystring: TurnOptions,
          body: CreatePersonaConversationRequest,
          response: answersAs<Static<typeof ConversationDto>>(CONVERSATION_OR_EVENTS, ...OF_A_TURN),
        },
      },
      async (request, reply) => {
        const start = toPersonaStart(request.caller.organizationId, request.body)
        return answer(request, reply, () => starter.fromPersona(start))
      },
    )

    // The same act as the route above when there is a persona, so that sending it again there finds it.
    const operation = (body: unknown) =>
      namesPersona(body as Static<typeof CreateConversationRequest>) ? START_WITH_PERSONA : 'POST /conversations'
    app.post(
      '/conversations',
      {
        config: { ...config, idempotency: { keeps, operation } },
        schema: {
          tags,
          summary: 'Start a conversation without a persona',
          description: `${description} With \`personaId\` it is a conversation with that persona, which brings the rest.`,
          querystring: TurnOptions,
          body: CreateConversationRequest,
          response: answersAs<Static<typeof ConversationDto>>(CONVERSATION_OR_EVENTS, ...OF_A_TURN),
        },
      },
      async (request, reply) => {
        const { caller, body } = request
        if (namesPersona(body)) {
          const start = toPersonaStart(caller.organizationId, body)
          return answer(request, reply, () => starter.fromPersona(start))
        }
        const start = toGeneralStart(caller, body)
        return answer(request, reply, async () => {
          await checkConfiguration(caller, 'configuration', start.configuration)
          return starter.general(start)
        })
      },
    )
  }
}

type ClaimedRun = Parameters<Claim['statement']>[0]

/** The run of a first message, and how to see the conversation as it was when that was taken. */
type Begun = { run: ReadableRun; opening: () => Promise<ReturnType<typeof openingOf>> }

type StartRequest = TurnHttpRequest & {
  body: { message?: string | null; stream?: boolean | null; attachments?: AttachmentInputs }
}
