import type { Static } from 'typebox'
import { badField } from '../../errors.ts'
import type { Attachment, GivenAttachment } from './attachment.ts'
import type { AttachmentDto, AttachmentInputs } from './attachment-schemas.ts'
import { plainMediaType } from './checks/media-type.ts'

export function toAttachmentDto({ id, name, mediaType, byteCount }: Attachment): Static<typeof AttachmentDto> {
  return { attachmentId: id, name, mediaType, bytes: byteCount }
}

/** The files that a body comes with; undefined when it does not speak of any. Throws 400 for one that is neither itself nor an id. */
export function givenIn({ attachments }: { attachments?: AttachmentInputs }): GivenAttachment[] | undefined {
  return attachments?.map(({ attachmentId, name, mediaType, data }, i) => {
    if (attachmentId) return { attachmentId: attachmentId.toLowerCase() }
    const at = `attachments.${i}`
    if (!data) throw badField(`${at}.data`, 'is required, or else attachmentId')
    if (!mediaType) throw badField(`${at}.mediaType`, 'is required')
    const type = plainMediaType(mediaType)
    return { name: name || defaultName(type), mediaType: type, bytes: fromBase64(data, `${at}.data`) }
  })
}

/** What a file is called whose sender does not say. */
export function defaultName(mediaType: string): string {
  const ending = { 'image/jpeg': 'jpg', 'text/plain': 'txt', 'text/markdown': 'md' }[mediaType]
  return `file.${ending ?? mediaType.slice(mediaType.indexOf('/') + 1)}`
}

function fromBase64(data: string, field: string): Buffer {
  // Buffer.from() leaves out what it cannot read.
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(data) || data.length % 4 !== 0) throw badField(field, 'is not valid base64')
  return Buffer.from(data, 'base64')
}
