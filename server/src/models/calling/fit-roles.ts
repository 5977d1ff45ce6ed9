import type { ModelMessage, ModelRequest } from '../model.ts'

/** Stands between the result of a call and a user who has changed the subject. */
const BRIDGE = '(The result was noted.)'

/** The same with an assistant between a result and the next user, as Mistral wants it; the same array where there is no such place. */
export function bridged(messages: ModelMessage[]): ModelMessage[] {
  const isGap = (message: ModelMessage, i: number) => message.role === 'user' && messages[i - 1]?.role === 'tool'
  if (!messages.some(isGap)) return messages
  return messages.flatMap((message, i): ModelMessage[] =>
    isGap(message, i) ? [{ role: 'assistant', content: BRIDGE }, message] : [message],
  )
}

/** The same with the system text before the first message of the user, for models that take no other role. */
export function withSystemInside<Request extends Pick<ModelRequest, 'system' | 'messages'>>(request: Request): Request {
  const { system, messages } = request
  const first = messages.findIndex(({ role }) => role === 'user')
  if (system === null || first === -1) return request
  const said = messages.map((message, i) =>
    i === first ? { ...message, content: `${system}\n\n${message.content}` } : message,
  )
  return { ...request, system: null, messages: said }
}
