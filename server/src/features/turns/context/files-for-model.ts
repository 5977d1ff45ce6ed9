import { AppError } from '../../../errors.ts'
import type { ConversationKey } from '../../../lib/conversation-key.ts'
import { hasFiles } from '../../../models/calling/fit-files.ts'
import type { ModelMessage } from '../../../models/model.ts'
import { type ModelFile, noteOf } from '../../../models/model-file.ts'
import { takesFile } from '../../../models/takes-file.ts'
import type { Attachment, GivenAttachment } from '../../attachments/attachment.ts'
import type { Attached, AttachmentService } from '../../attachments/attachment-service.ts'
import { isText, textOf } from '../../attachments/checks/media-type.ts'
import type { ConversationForTurn } from '../../conversations/conversation.ts'
import { settingsOf, talkTokens } from './build-context.ts'
import type { Context } from './window.ts'

export type TurnFiles = ReturnType<typeof createTurnFiles>

/** Bytes of images and PDF files in one prompt: in base64 they take a third more, and Anthropic takes 32 MB. */
const MOST_SENT_BYTES = 20 * 1_024 * 1_024

/** The files of a turn: whether its model takes them, where they are stored, and what the model gets to see of them. */
export function createTurnFiles(deps: {
  attachments: Pick<AttachmentService, 'describe' | 'store' | 'read' | 'limit'>
  log: { warn(fields: object, message: string): void }
}) {
  const { attachments, log } = deps
  const mostBytes = Math.max(MOST_SENT_BYTES, attachments.limit)

  /** Throws 422 for what the conversation's model cannot take. */
  function check(conversation: ConversationForTurn, files: readonly Attachment[]): void {
    const { aiSystem, model } = conversation
    const stated = settingsOf(conversation).attachments
    const refused = files.flatMap(({ mediaType }, i) =>
      takesFile(conversation, mediaType, stated) ? [] : [{ i, mediaType }],
    )
    if (refused.length > 0) {
      const types = [...new Set(refused.map(({ mediaType }) => mediaType))].join(', ')
      throw new AppError(
        'unprocessable_entity',
        `the model ${model} of ${aiSystem} cannot take files of type ${types}`,
        {
          details: refused.map(({ i, mediaType }) => ({
            field: `attachments.${i}`,
            issue: `is ${mediaType}, which ${model} of ${aiSystem} cannot take`,
          })),
        },
      )
    }
    const bytes = files.reduce((sum, { mediaType, byteCount }) => sum + (isText(mediaType) ? 0 : byteCount), 0)
    if (bytes > mostBytes) throw tooMuch(`together at most ${mostBytes} bytes, and these have ${bytes}`)
    const tokens = files.reduce((sum, file) => sum + file.tokens, 0)
    const room = talkTokens(conversation, conversation.systemText)
    if (tokens > room) {
      throw tooMuch(`about ${room} tokens, which is what ${model} can see, and these have ${tokens}`)
    }
  }

  /** Reads a file. One that cannot be read stops the turn only if it is what the turn is about. */
  async function readOr(key: ConversationKey, file: ModelFile, isNewest: boolean): Promise<Uint8Array | null> {
    try {
      return (await attachments.read(key, file.id)).bytes
    } catch (error) {
      if (isNewest || !(error instanceof AppError)) throw error
      log.warn({ err: error, conversationId: key.conversationId }, 'a file cannot be read: the turn goes on without it')
      return null
    }
  }

  return {
    /**
     * Stores the files that a message comes with, before the message is accepted. What the model cannot take is a 422
     * before anything is stored; whoever does not get the message accepted gives up what was.
     */
    async store(conversation: ConversationForTurn, given: readonly GivenAttachment[]): Promise<Attached> {
      const key = { organizationId: conversation.organizationId, conversationId: conversation.id }
      const described = await attachments.describe(key, given)
      check(
        conversation,
        described.map(({ attachment }) => attachment),
      )
      return attachments.store(key, described)
    },

    /**
     * The context with the bytes of its files, the newest first and as many as may be sent. The text of text files goes
     * into the messages. Throws 503 when a file of the newest message cannot be read.
     */
    async load(key: ConversationKey, context: Context): Promise<Context> {
      if (!context.messages.some(hasFiles)) return context
      const messages = [...context.messages]
      const newest = messages.findLastIndex(({ role }) => role === 'user')
      let left = mostBytes
      for (let i = newest; i >= 0; i--) {
        const message = messages[i] as ModelMessage
        if (!hasFiles(message)) continue
        const texts: string[] = []
        const files: ModelFile[] = []
        for (const file of message.attachments) {
          const hasRoom = isText(file.mediaType) || left > 0
          const bytes = hasRoom ? await readOr(key, file, i === newest) : null
          if (isText(file.mediaType)) texts.push(bytes === null ? noteOf(file) : textPart(file, bytes))
          else if (bytes !== null && bytes.length <= left) {
            files.push({ ...file, bytes })
            left -= bytes.length
          } else texts.push(noteOf(file))
        }
        const content = [...texts, message.content].join('\n\n')
        messages[i] = { role: 'user', content, ...(files.length > 0 && { attachments: files }) }
      }
      return { ...context, messages }
    },
  }
}

function textPart({ name, mediaType }: ModelFile, bytes: Uint8Array): string {
  const title = JSON.stringify(name)
  return `Attached file ${title} (${mediaType}):\n\n${textOf(bytes)}\n\nEnd of the file ${title}.`
}

function tooMuch(what: string): AppError {
  return new AppError('unprocessable_entity', `the attachments of a message may have ${what}`, {
    details: [{ field: 'attachments', issue: 'are too large for the model' }],
  })
}
