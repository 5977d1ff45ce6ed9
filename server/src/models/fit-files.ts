import type { ModelMessage } from './model.ts'
import { type FileKind, noteOf, takesFile } from './model-file.ts'

/** The same messages as this model can take them: in the place of each file that it cannot take stands a note. */
export function fitFiles(
  messages: readonly ModelMessage[],
  model: { aiSystem: string; model: string },
  stated: readonly FileKind[] | undefined,
): ModelMessage[] {
  return messages.map((message) => {
    if (message.role !== 'user' || !message.attachments) return message
    const { attachments, ...rest } = message
    const taken = attachments.filter((file) => file.bytes !== undefined && takesFile(model, file.mediaType, stated))
    if (taken.length === attachments.length) return message
    const notes = attachments.filter((file) => !taken.includes(file)).map(noteOf)
    const content = [...notes, rest.content].join('\n\n')
    return { ...rest, content, ...(taken.length > 0 && { attachments: taken }) }
  })
}
