import type { ModelFile } from '../../models/model-file.ts'

/** A file that stands with a message of a user: what is known of it without its bytes. Part of the message. */
export type Attachment = Omit<ModelFile, 'bytes'> & { byteCount: number }

/** A file that is about to be one. */
export type NewFile = { name: string; mediaType: string; bytes: Uint8Array }

/** What a request gives: a file, or the id of one that was uploaded before. */
export type GivenAttachment = NewFile | { attachmentId: string }

/** How many may stand with one message. */
export const MOST_ATTACHMENTS = 10
