/**
 * A request as data, so that it can be sent to another process. `{id}` stands for a conversation, `{key}` for an API key,
 * `{message}` for a message.
 */
export type Call = {
  method: string
  path: string
  headers?: Readonly<Record<string, string>>
  /** ASCII. */
  body?: string
}

/** How a server is talked to. */
export type Wire = {
  port: number
  /** Makes a conversation; `id` is a regular expression whose group is its id in the answer. Null where there is nothing to make. */
  create: { call: Call; id: string } | null
  /** One turn of a conversation, streamed. */
  turn: Call
  /** The cheapest request that the server answers with 200, for fresh connections. */
  probe: Call
  /** With what the body of a streamed turn ends. */
  ending: string
  /** How many marks a whole answer has: one for each token. */
  marks: number
  /** What is counted, where a server repeats the text and so its marks: something that it writes once for each token. */
  mark?: string
  /** API keys; users take turns of 150 each, because one key may have only so many turns under way. */
  keys?: readonly string[]
}

/** Puts the bytes of a call together. */
export type Printer = (id: string, key: string, message?: string) => string | Buffer

const PLACEHOLDER = /\{(id|key|message)\}/

/** Prepares all of a call that stays the same. Throws when it has other characters than ASCII. */
export function createPrinter(call: Call): Printer {
  const body = call.body ?? ''
  const head = [
    `${call.method} ${call.path} HTTP/1.1`,
    'host: 127.0.0.1',
    ...Object.entries(call.headers ?? {}).map(([name, value]) => `${name}: ${value}`),
    ...(body === '' ? [] : ['content-type: application/json']),
    '',
  ].join('\r\n')
  // biome-ignore lint/suspicious/noControlCharactersInRegex: it is the range of ASCII.
  if (!/^[\x00-\x7f]*$/.test(head + body)) throw new Error('a call may hold only ASCII')
  const lengthOf = (text: string) => (call.method === 'GET' ? '' : `content-length: ${text.length}\r\n`)
  if (!PLACEHOLDER.test(head + body)) {
    const bytes = Buffer.from(`${head}${lengthOf(body)}\r\n${body}`)
    return () => bytes
  }
  const fillHead = createFiller(head)
  const fillBody = createFiller(body)
  return (id, key, message = '') => {
    const values = { id, key, message }
    const filled = fillBody(values)
    return `${fillHead(values)}${lengthOf(filled)}\r\n${filled}`
  }
}

type Values = { id: string; key: string; message: string }

function createFiller(text: string): (values: Values) => string {
  // Every other part is the name of a placeholder.
  const parts = text.split(PLACEHOLDER)
  if (parts.length === 1) return () => text
  return (values) => parts.map((part, i) => (i % 2 === 0 ? part : values[part as keyof Values])).join('')
}
