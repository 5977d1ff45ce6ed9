import type { ModelMessage } from '../model.ts'

/**
 * The same messages with calls and results as text, for a request without tools: a provider that takes calls only beside
 * the tools that they call would otherwise never see what they came to.
 */
export function toolsAsText(messages: readonly ModelMessage[]): ModelMessage[] {
  const told: ModelMessage[] = []
  for (const message of messages) {
    const last = told.at(-1)
    if (message.role === 'tool') {
      const result = `Result of ${message.name}:\n${message.content}`
      if (last?.role === 'user') last.content += `\n\n${result}`
      else told.push({ role: 'user', content: result })
    } else if (message.role === 'assistant' && message.toolCalls?.length) {
      const calls = message.toolCalls.map(({ name, input }) => `(Called ${name} with ${JSON.stringify(input)}.)`)
      told.push({ role: 'assistant', content: [message.content, ...calls].filter((text) => text !== '').join('\n') })
    } else if (message.role === 'user' && last?.role === 'user') {
      last.content += `\n\n${message.content}`
      if (message.attachments) last.attachments = [...(last.attachments ?? []), ...message.attachments]
    } else told.push({ ...message })
  }
  return told
}
