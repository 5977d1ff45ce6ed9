import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply } from 'fastify'
import { type Pieces, sendPieces } from '../../http/answers/pieces.ts'
import { nameOfUser, UserPath, UserQuery } from '../../http/requests/user-name.ts'
import { answersAs, answersNothing, Uuid } from '../../http/schemas.ts'
import { Type } from '../../lib/schema.ts'
import type { EraseService } from './erase-service.ts'
import { EXPORT_FORMATS, FORMATS } from './export-formats.ts'
import type { ExportService } from './export-service.ts'

const tags = ['Privacy']
/** Where a user of a caller is named: both ways mean the same, but not every name can stand in a path. */
const NAMED_IN = [
  { path: '/users/:externalUserId', schema: { params: UserPath }, note: '' },
  {
    path: '/users',
    schema: { querystring: UserQuery },
    note: ' The name is a parameter: for names such as `..`, which no path can hold.',
  },
] as const

/** Taking everything of a conversation or a user along, and erasing it. */
export function privacyRoutes(deps: { exports: ExportService; erasures: EraseService }): FastifyPluginAsyncTypebox {
  const { exports, erasures } = deps
  return async (app) => {
    app.get(
      '/conversations/:conversationId/export',
      {
        config: { scope: 'conversations:read', isCostly: true, mayLast: true },
        schema: {
          tags,
          summary: 'Download a conversation',
          description:
            '`jsonl`: a line for the conversation and one for each message. `markdown`: to read. `openai`: a line for ' +
            'fine-tuning, up to the last reply.',
          params: Type.Object({ conversationId: Uuid }),
          querystring: Type.Object({ format: Type.Optional(Type.Enum([...EXPORT_FORMATS])) }),
          response: answersAs<string>(
            { 'application/x-ndjson': Type.String(), 'text/markdown': Type.String() },
            ...(['not_found', 'gone'] as const),
          ),
        },
      },
      async (request, reply) => {
        const id = request.params.conversationId.toLowerCase()
        const { format = 'jsonl' } = request.query
        const pieces = await exports.conversation(request.caller.organizationId, id, format)
        const { contentType, ending } = FORMATS[format]
        return download(reply, pieces, contentType, `conversation-${id}.${ending}`)
      },
    )

    for (const { path, schema, note } of NAMED_IN) {
      app.get(
        `${path}/export`,
        {
          config: { scope: 'conversations:read', isCostly: true, mayLast: true },
          schema: {
            tags,
            summary: 'Download everything of a user of yours',
            description:
              'JSON Lines; `type` says what a line is: `conversation`, `message`, `replacedMessage` or `run`. Deleted ' +
              `conversations are in it.${note}`,
            ...schema,
            response: answersAs<string>({ 'application/x-ndjson': Type.String() }, 'not_found'),
          },
        },
        async (request, reply) => {
          const pieces = await exports.user(request.caller.organizationId, nameOfUser(request))
          return download(reply, pieces, FORMATS.jsonl.contentType, 'user.jsonl')
        },
      )

      app.delete(
        path,
        {
          config: { scope: 'conversations:write' },
          schema: {
            tags,
            summary: 'Erase everything of a user of yours',
            description:
              'Cannot be undone. Answers when it is done: rows, files and all. Running turns are cancelled; totals ' +
              `stay.${note}`,
            ...schema,
            response: answersNothing('not_found'),
          },
        },
        async (request, reply) => {
          await erasures.eraseUser(request.caller.organizationId, nameOfUser(request))
          return reply.code(204).send(null)
        },
      )
    }
  }
}

/** Sends pieces as they are taken; a reader that goes away ends the reading of the next ones. */
function download(reply: FastifyReply, pieces: Pieces, contentType: string, file: string): Promise<FastifyReply> {
  reply.header('content-disposition', `attachment; filename="${file}"`)
  return sendPieces(reply, contentType, pieces)
}
