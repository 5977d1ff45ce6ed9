import type { ModelMessage } from '../model.ts'
import { type FileKind, type ModelFile, noteOf } from '../model-file.ts'
import { takesFile } from '../takes-file.ts'

/**
 * The same messages as this model can take them: in the place of each file that it cannot take stands a note. Without
 * files it is the same array.
 */
export function fitFiles(
  messages: ModelMessage[],
  model: { aiSystem: string; model: string },
  stated: readonly FileKind[] | undefined,
): ModelMessage[] {
  return withoutFiles(messages, (file) => file.bytes === undefined || !takesFile(model, file.mediaType, stated))
}

/** The same messages with a note in the place of each of these files. Without files it is the same array. */
export function withoutFiles(messages: ModelMessage[], isLeftOut: (file: ModelFile) => boolean): ModelMessage[] {
  if (!messages.some(hasFiles)) return messages
  return messages.map((message) => {
    if (!hasFiles(message)) return message
    const { attachments, ...rest } = message
    const taken = attachments.filter((file) => !isLeftOut(file))
    if (taken.length === attachments.length) return message
    const notes = attachments.filter((file) => !taken.includes(file)).map(noteOf)
    const content = [...notes, rest.content].join('\n\n')
    return { ...rest, content, ...(taken.length > 0 && { attachments: taken }) }
  })
}

/** Whether files stand with a message. */
export function hasFiles(message: ModelMessage): message is UserMessage & { attachments: readonly ModelFile[] } {
  return message.role === 'user' && message.attachments !== undefined
}

type UserMessage = Extract<ModelMessage, { role: 'user' }>
