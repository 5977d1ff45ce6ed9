import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply } from 'fastify'
import { type Pieces, sendPieces } from '../../http/answers/pieces.ts'
import { answersAs, answersNothing, Uuid } from '../../http/schemas.ts'
import { Type } from '../../lib/schema.ts'
import type { EraseService } from './erase-service.ts'
import { EXPORT_FORMATS, FORMATS } from './export-formats.ts'
import type { ExportService } from './export-service.ts'

const tags = ['Privacy']
const UserPath = Type.Object({ externalUserId: Type.String({ minLength: 1, maxLength: 256 }) })

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

    app.get(
      '/users/:externalUserId/export',
      {
        config: { scope: 'conversations:read', isCostly: true, mayLast: true },
        schema: {
          tags,
          summary: 'Download everything of a user of yours',
          description:
            'JSON Lines; `type` says what a line is: `conversation`, `message`, `replacedMessage` or `run`. Deleted ' +
            'conversations are in it.',
          params: UserPath,
          response: answersAs<string>({ 'application/x-ndjson': Type.String() }, 'not_found'),
        },
      },
      async (request, reply) => {
        const pieces = await exports.user(request.caller.organizationId, request.params.externalUserId)
        return download(reply, pieces, FORMATS.jsonl.contentType, 'user.jsonl')
      },
    )

    app.delete(
      '/users/:externalUserId',
      {
        config: { scope: 'conversations:write' },
        schema: {
          tags,
          summary: 'Erase everything of a user of yours',
          description:
            'Cannot be undone. Answers when it is done: rows, files and all. Running turns are cancelled; totals stay.',
          params: UserPath,
          response: answersNothing('not_found'),
        },
      },
      async (request, reply) => {
        await erasures.eraseUser(request.caller.organizationId, request.params.externalUserId)
        return reply.code(204).send(null)
      },
    )
  }
}

/** Sends pieces as they are taken; a reader that goes away ends the reading of the next ones. */
function download(reply: FastifyReply, pieces: Pieces, contentType: string, file: string): Promise<FastifyReply> {
  reply.header('content-disposition', `attachment; filename="${file}"`)
  return sendPieces(reply, contentType, pieces)
}
