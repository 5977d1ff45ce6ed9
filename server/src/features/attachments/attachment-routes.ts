import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { AppError } from '../../errors.ts'
import { fileBodyOf } from '../../http/requests/bodies.ts'
import { AnyJson, answers, answersAs, Binary, Uuid } from '../../http/schemas.ts'
import { Type } from '../../lib/schema.ts'
import { printableLine } from '../../lib/text/printable.ts'
import type { Statement } from '../../storage/database.ts'
import { AttachmentDto } from './attachment-schemas.ts'
import type { AttachmentService } from './attachment-service.ts'
import { defaultName, toAttachmentDto } from './attachment-wire.ts'
import { MEDIA_TYPES, plainMediaType } from './checks/media-type.ts'

const tags = ['Attachments']
/** A file of each type as it goes over the wire: one that is JSON is JSON there too. */
const FILES = Object.fromEntries(MEDIA_TYPES.map((type) => [type, type === 'application/json' ? AnyJson : Binary]))

/** What the routes need of conversations, which stand above them. */
type Conversations = {
  /** Throws 404 and 410. */
  get(organizationId: string, id: string): Promise<{ isActive: boolean }>
  /** Locks a conversation. Guarded: it fails when that is deleted. */
  lock(organizationId: string, id: string): Statement
}

/** Giving a conversation files, and getting them back. */
export function attachmentRoutes(deps: {
  attachments: Pick<AttachmentService, 'upload' | 'read' | 'limit'>
  conversations: Conversations
}): FastifyPluginAsyncTypebox {
  const { attachments, conversations } = deps
  return async (app) => {
    app.post(
      '/conversations/:conversationId/attachments',
      {
        bodyLimit: attachments.limit,
        // Twice is one file that no message comes for, and it is swept.
        config: {
          scope: 'conversations:write',
          isNewWork: true,
          mayLast: true,
          takesFile: true,
          idempotency: { keeps: 'answer' },
        },
        schema: {
          tags,
          summary: 'Upload a file for a message that is to come',
          description:
            'The body is the file, its `content-type` what it is. A message names it with `attachments: ' +
            '[{attachmentId}]`; after a day without one it is deleted.',
          params: Type.Object({ conversationId: Uuid }),
          querystring: Type.Object({ name: Type.Optional(Type.String()) }),
          body: { content: Object.fromEntries(MEDIA_TYPES.map((type) => [type, { schema: FILES[type] }])) },
          response: answers(AttachmentDto, 'not_found', 'gone', 'unprocessable_entity'),
        },
      },
      async (request) => {
        const { organizationId } = request.caller
        const conversationId = request.params.conversationId.toLowerCase()
        const { isActive } = await conversations.get(organizationId, conversationId)
        if (!isActive) throw new AppError('forbidden', 'the conversation is inactive', { conversationId })
        const { bytes, contentType } = fileBodyOf(request.body)
        const mediaType = plainMediaType(contentType)
        const file = { name: request.query.name || defaultName(mediaType), mediaType, bytes }
        const lock = conversations.lock(organizationId, conversationId)
        return toAttachmentDto(await attachments.upload({ organizationId, conversationId }, file, lock))
      },
    )

    app.get(
      '/conversations/:conversationId/attachments/:attachmentId',
      {
        config: { scope: 'conversations:read', isCostly: true },
        schema: {
          tags,
          summary: 'Download a file',
          params: Type.Object({ conversationId: Uuid, attachmentId: Uuid }),
          response: answersAs<Buffer>(FILES, 'not_found', 'gone', 'unavailable'),
        },
      },
      async (request, reply) => {
        const { organizationId } = request.caller
        const conversationId = request.params.conversationId.toLowerCase()
        await conversations.get(organizationId, conversationId)
        const key = { organizationId, conversationId }
        const { attachment, bytes } = await attachments.read(key, request.params.attachmentId.toLowerCase())
        return (
          reply
            .header('content-type', attachment.mediaType)
            .header('content-disposition', contentDisposition(attachment.name))
            // Somebody's bytes: nothing may take them for a page of this server.
            .header('x-content-type-options', 'nosniff')
            .header('content-security-policy', "default-src 'none'; sandbox")
            .header('cache-control', 'private, no-store')
            .send(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))
        )
      },
    )
  }
}

/**
 * The header for a name in any language (RFC 6266): readers that do not know `filename*` get the ASCII of it. Without
 * folders, and without what would show its ending in another place.
 */
export function contentDisposition(written: string): string {
  const name = printableLine(written).replaceAll(/[/\\]/g, '_')
  const plain = name.replaceAll(/[^\x20-\x7e]|["%\\]/g, '_')
  const encoded = encodeURIComponent(name.toWellFormed()).replaceAll(
    /['()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  )
  return `attachment; filename="${plain}"; filename*=UTF-8''${encoded}`
}
