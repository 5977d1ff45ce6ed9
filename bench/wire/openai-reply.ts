/**
 * The stream of a chat completion as the service of OpenAI sends it: same members, same order, same sizes. Each token's
 * text has exactly one `MARK`, a character that occurs nowhere else in such a stream, so tokens are counted by counting
 * bytes, whatever a server makes of the rest.
 */
export const MARK = '~'
export const TOKENS = 40

const WORDS = [
  'the',
  'kettle',
  'can',
  'stand',
  'on',
  'its',
  'base',
  'while',
  'you',
  'fill',
  'it',
  'with',
  'fresh',
  'water',
]
const texts = Array.from({ length: TOKENS }, (_, i) => ` ${WORDS[i % WORDS.length]}${MARK}`)

/** What all tokens say together. */
export const REPLY_TEXT = texts.join('')

const FRAME = {
  id: 'chatcmpl-CbRLq3x5Ls0F8VYhO8Vw2pQe1tZ7k',
  object: 'chat.completion.chunk',
  created: 1763912345,
  model: 'gpt-4.1-mini-2025-04-14',
  service_tier: 'default',
  system_fingerprint: 'fp_9766e549b2',
}
const USAGE = {
  prompt_tokens: 57,
  completion_tokens: TOKENS,
  total_tokens: 57 + TOKENS,
  prompt_tokens_details: { cached_tokens: 0, audio_tokens: 0 },
  completion_tokens_details: {
    reasoning_tokens: 0,
    audio_tokens: 0,
    accepted_prediction_tokens: 0,
    rejected_prediction_tokens: 0,
  },
}

const event = (choices: object[], usage: object | null = null) =>
  `data: ${JSON.stringify({ ...FRAME, choices, usage, obfuscation: 'Qm3kd8s' })}\n\n`
const choice = (delta: object, finishReason: string | null = null) => [
  { index: 0, delta, logprobs: null, finish_reason: finishReason },
]

/** The events of the stream: the role, the tokens, and all that follows them as one. */
const role = event(choice({ role: 'assistant', content: '', refusal: null }))
const tokens = texts.map((content) => event(choice({ content })))
const ending = `${event(choice({}, 'stop'))}${event([], USAGE)}data: [DONE]\n\n`

/** The end of a body that is whole. */
export const STREAM_END = 'data: [DONE]\n\n'

const httpChunk = (text: string) => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`
const HEAD = [
  'HTTP/1.1 200 OK',
  'content-type: text/event-stream; charset=utf-8',
  'cache-control: no-cache',
  'openai-version: 2020-10-01',
  'x-request-id: req_4f0d1c1b8c0e4f6bb9d5f6f1f6c8e3a7',
  'transfer-encoding: chunked',
  'connection: keep-alive',
].join('\r\n')
const LAST_CHUNK = '0\r\n\r\n'

/** The writes of an answer, each with the head or chunk around it: the first token comes with the head and the role. */
const writes: readonly string[] = [
  `${HEAD}\r\n\r\n${httpChunk(role + tokens[0])}`,
  ...tokens.slice(1).map(httpChunk),
  httpChunk(ending) + LAST_CHUNK,
]

/** Every token in a write of its own. */
export const STREAM_WRITES: readonly Buffer[] = writes.map((write) => Buffer.from(write))

/** The answer of a provider in a hurry: the first token in a write of its own, then all the rest. */
export type AtOnce = readonly [first: Buffer, rest: Buffer]

/** Answers that differ in their id, because servers rely on that: as many as are needed until one may come again. */
export const STREAMS_AT_ONCE: readonly AtOnce[] = Array.from({ length: 1_024 }, (_, n) => {
  const id = FRAME.id.slice(0, -4) + n.toString(36).padStart(4, '0')
  const [first, rest] = [writes[0] as string, httpChunk(tokens.slice(1).join('') + ending) + LAST_CHUNK]
  return [Buffer.from(first.replaceAll(FRAME.id, id)), Buffer.from(rest.replaceAll(FRAME.id, id))]
})

/** A whole response with this JSON. */
export function jsonResponse(body: object, status = '200 OK'): Buffer {
  const text = JSON.stringify(body)
  return Buffer.from(
    `HTTP/1.1 ${status}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
  )
}

/** The answer to a request that does not stream. */
export const WHOLE_ANSWER = jsonResponse({
  ...FRAME,
  object: 'chat.completion',
  choices: [{ index: 0, message: { role: 'assistant', content: REPLY_TEXT }, logprobs: null, finish_reason: 'stop' }],
  usage: USAGE,
})

export const MODEL = 'bench-model'
export const MODEL_LIST = jsonResponse({
  object: 'list',
  data: [{ id: MODEL, object: 'model', created: 1763912345, owned_by: 'bench' }],
})
