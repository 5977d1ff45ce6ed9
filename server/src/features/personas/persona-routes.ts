import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE } from '../../http/answers/pagination.ts'
import { pageOf, sendJson } from '../../http/answers/pieces.ts'
import type { Caller } from '../../http/requests/caller.ts'
import { checkSameId } from '../../http/requests/fields.ts'
import { answers, answersNothing, Uuid } from '../../http/schemas.ts'
import type { JsonObject } from '../../lib/json.ts'
import { Type } from '../../lib/schema.ts'
import type { CheckConfiguration } from './check-configuration.ts'
import {
  CreatePersonaRequest,
  CreatePersonaVersionRequest,
  MinimalPersonaResultSet,
  PersonaDto,
  PersonaResultSet,
  PersonaVersionDto,
  UpdatePersonaRequest,
  UpdatePersonaVersionRequest,
  WholePersonaDto,
} from './persona-schemas.ts'
import type { ListRequest, PersonaService } from './persona-service.ts'
import {
  onlyWritten,
  toMinimalDto,
  toNewPersona,
  toNewVersion,
  toPersonaChange,
  toPersonaDto,
  toPersonaPieces,
  toVariables,
  toVersionChange,
  toVersionDto,
  type View,
} from './persona-wire.ts'

const tags = ['Personas']
const ANSWER =
  'A key without `personas:read` gets of the answer what this request has written, ids and flags; all else is null.'
const PersonaPath = Type.Object({ personaId: Uuid })
const VersionPath = Type.Object({ personaId: Uuid, personaVersionId: Uuid })
const ListQuery = Type.Object({
  q: Type.Optional(Type.String({ maxLength: 200, description: 'Stands in the name or the description.' })),
  tag: Type.Optional(Type.String({ maxLength: 200 })),
  pageSize: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_PAGE_SIZE })),
  continuationToken: Type.Optional(Type.String({ maxLength: 200 })),
})

/** `/personas` and their versions. */
export function personaRoutes(deps: {
  personas: PersonaService
  checkConfiguration: CheckConfiguration
}): FastifyPluginAsyncTypebox {
  const { personas, checkConfiguration } = deps

  /** Refuses a configuration whose schemas cannot be compiled, by the name that it has in these bodies. */
  async function checked<T extends { configuration?: JsonObject | null }>(caller: Caller, content: T): Promise<T> {
    await checkConfiguration(caller, 'personaConfiguration', content.configuration ?? null)
    return content
  }

  const read = ({ caller, params }: PersonaRequest) =>
    personas.getWithVersions(caller.organizationId, params.personaId.toLowerCase())

  async function show(request: PersonaRequest, reply: FastifyReply): Promise<FastifyReply> {
    const found = await read(request)
    const view = viewOf(request)
    if (!view.mayRead) return reply.send(shownTo(request, toPersonaDto(found.persona, found.version, null, view)))
    return sendJson(reply, toPersonaPieces(found, found.versions, view))
  }

  return async (app) => {
    app.post(
      '/personas',
      {
        config: { scope: 'personas:write', idempotency: { shownTo } },
        schema: {
          tags,
          summary: 'Create a persona',
          description: ANSWER,
          body: CreatePersonaRequest,
          response: answers(PersonaDto),
        },
      },
      async (request) => {
        const { organizationId } = request.caller
        const written = await checked(request.caller, toNewPersona(request.body))
        const { persona, version } = await personas.create(organizationId, written)
        return shownTo(request, toPersonaDto(persona, version, [version], viewOf(request)))
      },
    )

    app.get(
      '/personas',
      {
        config: { scope: 'personas:read' },
        schema: {
          tags,
          summary: 'List personas, newest first',
          querystring: ListQuery,
          response: answers(PersonaResultSet),
        },
      },
      async (request, reply) => {
        const page = await personas.list(request.caller.organizationId, toListRequest(request.query))
        const view = viewOf(request)
        return sendJson(
          reply,
          pageOf(page, (one) => toPersonaPieces(one, null, view)),
        )
      },
    )

    app.get(
      '/personas/minimal',
      {
        config: { scope: 'personas:read' },
        schema: {
          tags,
          summary: 'List personas by id and name',
          querystring: ListQuery,
          response: answers(MinimalPersonaResultSet),
        },
      },
      async (request) => {
        const page = await personas.listBrief(request.caller.organizationId, toListRequest(request.query))
        return { ...page, data: page.data.map(toMinimalDto) }
      },
    )

    app.get(
      '/personas/:personaId',
      {
        config: { scope: 'personas:read' },
        schema: {
          tags,
          summary: 'Get a persona with all its versions',
          params: PersonaPath,
          response: answers(WholePersonaDto, 'not_found', 'gone'),
        },
      },
      async (request, reply) => {
        const found = await read(request)
        const view = viewOf(request)
        return sendJson(reply, toPersonaPieces(found, found.versions, view, { variables: toVariables(found, view) }))
      },
    )

    app.patch(
      '/personas/:personaId',
      {
        // What is too long to be kept is read again.
        config: {
          scope: 'personas:write',
          idempotency: { shownTo, again: (request, reply) => show(request as PersonaRequest, reply) },
        },
        schema: {
          tags,
          summary: 'Change a persona',
          description:
            'New content (text, greeting, aiSystem, model, configuration) makes a new version, which becomes the ' +
            'default. `defaultVersionId` alone rolls back to that version. Null leaves a field as it is. ' +
            ANSWER,
          params: PersonaPath,
          body: UpdatePersonaRequest,
          response: answers(PersonaDto, 'not_found', 'gone', 'unprocessable_entity'),
        },
      },
      async (request, reply) => {
        const id = request.params.personaId.toLowerCase()
        checkSameId('personaId', id, request.body.personaId)
        const { organizationId } = request.caller
        await personas.update(organizationId, id, await checked(request.caller, toPersonaChange(request.body)))
        await show(request, reply)
        return reply
      },
    )

    app.delete(
      '/personas/:personaId',
      {
        config: { scope: 'personas:write' },
        schema: {
          tags,
          summary: 'Delete a persona',
          description: 'It cannot start conversations any more; those it has live on.',
          params: PersonaPath,
          response: answersNothing('not_found', 'gone'),
        },
      },
      async (request, reply) => {
        await personas.remove(request.caller.organizationId, request.params.personaId.toLowerCase())
        return reply.code(204).send(null)
      },
    )

    app.post(
      '/personas/:personaId',
      {
        config: { scope: 'personas:write', idempotency: { shownTo } },
        schema: {
          tags,
          summary: 'Add a version',
          description:
            'What is absent is that of the default version; null takes it away. It becomes the default unless ' +
            `\`isActive\` is false. ${ANSWER}`,
          params: PersonaPath,
          body: CreatePersonaVersionRequest,
          response: answers(PersonaVersionDto, 'not_found', 'gone'),
        },
      },
      async (request) => {
        const id = request.params.personaId.toLowerCase()
        checkSameId('personaId', id, request.body.personaId)
        const { organizationId } = request.caller
        const written = await checked(request.caller, toNewVersion(request.body))
        const version = await personas.addVersion(organizationId, id, written)
        return shownTo(request, toVersionDto(version, false, viewOf(request)))
      },
    )

    app.get(
      '/personas/:personaId/:personaVersionId',
      {
        config: { scope: 'personas:read' },
        schema: {
          tags,
          summary: 'Get a version',
          params: VersionPath,
          response: answers(PersonaVersionDto, 'not_found', 'gone'),
        },
      },
      async (request) => {
        const { organizationId } = request.caller
        const personaId = request.params.personaId.toLowerCase()
        const { persona, version } = await personas.getVersion(
          organizationId,
          personaId,
          request.params.personaVersionId.toLowerCase(),
        )
        return toVersionDto(version, persona.isSecret, viewOf(request))
      },
    )

    app.patch(
      '/personas/:personaId/:personaVersionId',
      {
        config: { scope: 'personas:write', idempotency: { shownTo } },
        schema: {
          tags,
          summary: 'Change a version',
          description: `Only \`isActive\` and \`personaMetadata\` may change; other content is refused with 409. ${ANSWER}`,
          params: VersionPath,
          body: UpdatePersonaVersionRequest,
          response: answers(PersonaVersionDto, 'not_found', 'gone', 'conflict', 'unprocessable_entity'),
        },
      },
      async (request) => {
        const personaId = request.params.personaId.toLowerCase()
        const versionId = request.params.personaVersionId.toLowerCase()
        checkSameId('personaId', personaId, request.body.personaId)
        checkSameId('personaVersionId', versionId, request.body.personaVersionId)
        const version = await personas.updateVersion(
          request.caller.organizationId,
          personaId,
          versionId,
          toVersionChange(request.body),
        )
        return shownTo(request, toVersionDto(version, false, viewOf(request)))
      },
    )
  }
}

type PersonaRequest = FastifyRequest & { params: { personaId: string } }

function viewOf({ caller }: FastifyRequest): View {
  return { mayRead: caller.scopes.has('personas:read'), mayWrite: caller.scopes.has('personas:write') }
}

/** What of an answer to a change the caller may see, who need not be able to read. */
function shownTo<T extends object>(request: FastifyRequest, answer: T): T {
  return viewOf(request).mayRead ? answer : onlyWritten(answer, (request.body ?? {}) as object)
}

function toListRequest(query: {
  q?: string
  tag?: string
  pageSize?: number
  continuationToken?: string
}): ListRequest {
  return {
    q: query.q || null,
    tag: query.tag || null,
    pageSize: query.pageSize ?? DEFAULT_PAGE_SIZE,
    continuationToken: query.continuationToken || null,
  }
}
