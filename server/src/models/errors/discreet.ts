import type { JsonValue } from '../../lib/json.ts'
import { printableLine } from '../../lib/text/printable.ts'
import type { ModelRequest } from '../model.ts'
import type { ModelError, ModelErrorKind } from '../model-error.ts'

/*
 * What a provider says must not repeat the prompt that it was sent: this decides which words of a failure are compared
 * with which parts of a request. `quotes.ts` does the comparing.
 */

/** What can hold words of the provider. Of the others no request was made, or we closed the connection ourselves. */
const HOLDS_ITS_WORDS: readonly ModelErrorKind[] = ['refused', 'rate_limited', 'timeout', 'failed']

/** Causes below a failure that are kept, and UTF-16 units of what each says. */
const MOST_CAUSES = 5
const MOST_SAID = 1_000

type Asked = Pick<ModelRequest, 'system' | 'messages' | 'tools' | 'settings'>

/**
 * A failure that quotes nothing of what the provider was asked: providers and the gateways before them like to send back
 * the request that they refuse, with a prompt that nobody may see. Of its causes the words, gone over likewise, and the
 * places in the code are left, and not the request and the answer that packages attach.
 */
export async function discreet(error: ModelError, asked: Asked): Promise<ModelError> {
  if (!HOLDS_ITS_WORDS.includes(error.kind)) return error
  const causes = causesOf(error)
  const words = [error.message, ...causes.map(({ message }) => printableLine(message.slice(0, MOST_SAID)))]
  // Loaded when something has failed: a start does not wait for it.
  const { withoutQuotes } = await import('./quotes.ts')
  const [message = '', ...reasons] = withoutQuotes(words, textsOf(asked))
  if (causes.length === 0 && message === error.message) return error
  const cause = causes.reduceRight<Error | undefined>(
    (below, one, i) => plainError(one, reasons[i] as string, below),
    undefined,
  )
  return error.inOtherWords(message, cause)
}

function causesOf(error: Error): Error[] {
  const causes: Error[] = []
  for (let at = error.cause; at instanceof Error && causes.length < MOST_CAUSES; at = at.cause) causes.push(at)
  return causes
}

function plainError(error: Error, message: string, cause: Error | undefined): Error {
  const plain = new Error(message, cause === undefined ? undefined : { cause })
  const places = (error.stack ?? '').split('\n').filter((line) => /^ {4}at /.test(line))
  return Object.assign(plain, { name: error.name, stack: [`${error.name}: ${message}`, ...places].join('\n') })
}

/** Everything of a request that somebody has written, names apart. */
function textsOf({ system, messages, tools = [], settings }: Asked): string[] {
  return [
    ...(system === null ? [] : [system]),
    ...messages.flatMap((message) => [
      message.content,
      ...('toolCalls' in message ? (message.toolCalls ?? []).flatMap(({ input }) => textsIn(input)) : []),
    ]),
    ...tools.flatMap(({ description, inputSchema }) => [description, ...textsIn(inputSchema)]),
    ...textsIn((settings.responseFormat ?? null) as JsonValue),
  ]
}

/** The texts in a value, however deep they stand. */
function textsIn(value: JsonValue): string[] {
  const texts: string[] = []
  const open: JsonValue[] = [value]
  while (open.length > 0) {
    const one = open.pop() as JsonValue
    if (typeof one === 'string') texts.push(one)
    else if (typeof one === 'object' && one !== null) for (const part of Object.values(one)) open.push(part)
  }
  return texts
}
