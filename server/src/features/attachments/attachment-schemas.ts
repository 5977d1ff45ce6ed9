import { Named, NullableText, NullableUuid, Uuid } from '../../http/schemas.ts'
import { Type } from '../../lib/schema.ts'
import { MOST_ATTACHMENTS } from './attachment.ts'

const optional = Type.Optional

/** A file as it comes with a message: either itself, or the id of one that was uploaded. */
const AttachmentInput = Named('AttachmentInput', {
  attachmentId: optional({ ...NullableUuid, description: 'Of a file that was uploaded to this conversation.' }),
  name: optional(NullableText()),
  mediaType: optional(NullableText()),
  data: optional({ ...NullableText(), description: 'The bytes in base64.' }),
})

export type AttachmentInputs =
  | { attachmentId?: string | null; name?: string | null; mediaType?: string | null; data?: string | null }[]
  | null

/** The files of a message. */
export const Attachments = optional(
  Type.Unsafe<AttachmentInputs>({
    type: ['array', 'null'],
    items: AttachmentInput,
    maxItems: MOST_ATTACHMENTS,
    description: 'Files that stand with the message: `{name, mediaType, data}` or `{attachmentId}`.',
  }),
)

export const AttachmentDto = Named('Attachment', {
  attachmentId: Uuid,
  name: Type.String(),
  mediaType: Type.String(),
  bytes: Type.Integer(),
})
