import { STATUS_OF_CODE } from '../../../server/src/errors.ts'
import { parseSse } from '../app.ts'
import type { Document, Operation } from './document.ts'
import type { Draft } from './requests.ts'
import type { RawAnswer } from './send.ts'
import type { Filled, World } from './world.ts'

const NOT_OF_AN_OPERATION = [400, 401, 404, 413, 415]
const INSIDE = /node_modules|\/server\/src\/|\bat .+\.ts:\d+|SQLITE_|violates .* constraint|syntax error at or near/i

/** Finds what is wrong with an answer: nothing, where it is as the document and the contract have it. */
export function createJudge({ faultOf, componentOf, operations }: Document, world: World) {
  const errorSchema = componentOf('Error')
  const itemSchema = componentOf('GenAiStreamingChatChoice')
  const conversationSchema = componentOf('ChatEntryResponse')

  function judge(draft: Draft, sent: Filled, answer: RawAnswer): string[] {
    const { operation, sender } = draft
    const { status, headers, bytes } = answer
    const text = bytes.toString('utf8')
    const faults: string[] = []
    const must = (isTrue: boolean, fault: string) => {
      if (!isTrue) faults.push(fault)
    }
    const isItself = sent.method === operation.method && !isElsewhere(sent.target, operation)
    const documented = isItself ? Object.keys(operation.responses).map(Number) : anyStatusOf(sent.method)

    must(documented.includes(status), `status ${status} is not documented`)
    must(status < 500 || [502, 503, 504].includes(status), `status ${status}`)
    must((headers['x-request-id'] ?? '') !== '', 'no x-request-id')
    if (sent.method !== 'HEAD') {
      const fault = isItself || status >= 400 ? bodyFault(operation, answer) : null
      if (fault) faults.push(fault)
    }
    const own = world.organizations[sender.organization]
    const other = world.organizations[1 - sender.organization]
    must(!text.includes(other?.canary ?? ''), 'has something of the other organization')
    for (const { keys, secrets } of world.organizations) {
      must(!secrets.some((secret) => text.includes(secret)), 'has the value of a secret')
      must(!Object.values(keys).some(({ secret }) => text.includes(secret)), 'has a key')
    }
    must(status < 400 || !INSIDE.test(text), 'shows something of the inside')
    const isSuccess = status < 400
    const needsKey = !isPublic(operation)
    const key = own.keys[sender.key]
    if (isItself && isSuccess && needsKey) {
      must(key !== undefined && !['revoked', 'expired'].includes(sender.key), 'no valid key, and it was answered')
      if (operation.scope)
        must(key?.scopes.has(operation.scope) ?? false, `without ${operation.scope}, and it was answered`)
    }
    // A list by a foreign persona is an empty list.
    const isList = operation.path === '/conversations/persona/{personaId}'
    if (isItself && sent.isForeign && isSuccess && !isList) faults.push('an id of the other organization was found')
    return faults
  }

  function anyStatusOf(method: string): number[] {
    const known = operations.filter((one) => one.method === (method === 'HEAD' ? 'GET' : method))
    return [...NOT_OF_AN_OPERATION, ...known.flatMap(({ responses }) => Object.keys(responses).map(Number))]
  }

  function bodyFault(operation: Operation, { status, headers, bytes }: RawAnswer): string | null {
    if (status >= 400) return errorFault(status, headers['content-type'] ?? '', bytes.toString('utf8'))
    const byType = operation.responses[String(status)] ?? {}
    const type = (headers['content-type'] ?? '').split(';')[0] as string
    if (Object.keys(byType).length === 0) return bytes.length === 0 && type === '' ? null : `a ${status} with a body`
    const schema = byType[type]
    if (!schema) return `content type ${type || '(none)'} is not documented`
    const text = bytes.toString('utf8')
    if (type === 'application/json') return jsonFault(text, (value) => faultOf(schema, value))
    if (type === 'text/event-stream') return eventsFault(text)
    if (type === 'application/x-ndjson') return linesFault(text)
    return null
  }

  function errorFault(status: number, type: string, text: string): string | null {
    if (!/^application\/json\b/.test(type)) return `an error of type ${type || '(none)'}`
    return jsonFault(text, (value) => {
      const fault = faultOf(errorSchema, value)
      if (fault) return fault
      const { code, message } = (value as { error: { code: keyof typeof STATUS_OF_CODE; message: string } }).error
      if (STATUS_OF_CODE[code] !== status) return `code ${code} with status ${status}`
      return message.trim() === '' ? 'an error without a message' : null
    })
  }

  function eventsFault(text: string): string | null {
    for (const { event, data } of parseSse(text)) {
      if (event === null && data === '[DONE]') continue
      const schema = event === 'error' ? errorSchema : event === 'conversation' ? conversationSchema : itemSchema
      const fault = event === 'detached' ? null : jsonFault(data, (value) => faultOf(schema, value))
      if (fault) return `event ${event ?? 'item'}: ${fault}`
    }
    return /data: \[DONE\]\n\n$|^event: detached/m.test(text) ? null : 'a stream without an end'
  }

  return { judge }
}

function linesFault(text: string): string | null {
  for (const line of text.split('\n')) {
    const fault = line === '' ? null : jsonFault(line, () => null)
    if (fault) return fault
  }
  return null
}

function jsonFault(text: string, faultOf: (value: unknown) => string | null): string | null {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return `not JSON: ${text.slice(0, 80)}`
  }
  return faultOf(value)
}

function isPublic({ responses, scope }: Operation): boolean {
  return scope === null && !('429' in responses)
}

/** Whether a path leads to another operation than the one that it was made for, or to none. */
function isElsewhere(target: string, operation: Operation): boolean {
  const path = (target.split('?')[0] ?? '').replace(/^\/(api|app)(?=\/)/, '').replace(/\/$/, '')
  const given = path.split('/')
  const expected = operation.path.split('/')
  return given.length !== expected.length || expected.some((name, i) => !name.startsWith('{') && name !== given[i])
}
