import type { ModelMessage, ModelRequest } from '../model.ts'
import type { LlamaChatItem, LlamaFunctionCall } from './runtime.ts'

/**
 * A request as the runtime's chat takes it; the last item is the reply that is still to come. Calls of tools stand in the
 * reply that made them, with their results.
 */
export function toChatHistory({ system, messages }: Pick<ModelRequest, 'system' | 'messages'>): LlamaChatItem[] {
  const history: LlamaChatItem[] = system === null || system === '' ? [] : [{ type: 'system', text: system }]
  for (const message of messages) {
    const last = history.at(-1)
    if (message.role === 'user') {
      // Templates expect that both take turns.
      if (last?.type === 'user') last.text += `\n\n${message.content}`
      else history.push({ type: 'user', text: message.content })
    } else if (message.role === 'assistant') {
      const response = last?.type === 'model' ? last.response : []
      if (last?.type !== 'model') history.push({ type: 'model', response })
      response.push(...partsOf(message))
    } else if (last?.type === 'model') {
      giveResult(last.response, message)
    }
  }
  if (history.at(-1)?.type !== 'model') history.push({ type: 'model', response: [] })
  return history
}

type AssistantMessage = Extract<ModelMessage, { role: 'assistant' }>
type ToolMessage = Extract<ModelMessage, { role: 'tool' }>

function partsOf({ content, toolCalls = [] }: AssistantMessage): (string | LlamaFunctionCall)[] {
  const calls = toolCalls.map(
    ({ name, input }): LlamaFunctionCall => ({ type: 'functionCall', name, params: input, result: null }),
  )
  return content === '' ? calls : [content, ...calls]
}

/** Results come in the order of the calls, so the first call of this name without one is meant. */
function giveResult(response: readonly (string | LlamaFunctionCall)[], { name, content }: ToolMessage): void {
  const call = response.find((part) => typeof part !== 'string' && part.name === name && part.result === null)
  if (typeof call === 'object') call.result = content
}
