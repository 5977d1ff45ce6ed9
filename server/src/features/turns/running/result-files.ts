import type { ModelFile } from '../../../models/model-file.ts'
import type { Context } from '../context/window.ts'

/** Bytes of the files of results that one run shows its model: each further step sends them again. */
const MOST_BYTES = 8 * 1_024 * 1_024

const ABOUT_FILES = '(Files of the results above, in their order. No user has sent them.)'

/** The files that the results of a run's tools come with. They are shown to the model in this run, and kept by nobody. */
export function createResultFiles() {
  const attachments: ModelFile[] = []
  let left = MOST_BYTES
  return {
    take(files: readonly ModelFile[]): void {
      for (const file of files) {
        const size = file.bytes?.length ?? 0
        if (size > left) continue
        left -= size
        attachments.push(file)
      }
    },
    /** The context with the files behind it, as a message of the user: few providers take files within a result. */
    shownBehind(context: Context): Context {
      if (attachments.length === 0) return context
      const about = { role: 'user' as const, content: ABOUT_FILES, attachments: [...attachments] }
      return { ...context, messages: [...context.messages, about] }
    },
  }
}
