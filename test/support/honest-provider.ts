import { countTokens } from 'gpt-tokenizer/encoding/o200k_base'
import type { Json } from './app.ts'
import { type Behaviour, chatChunk, type Piece, type ProviderRequest } from './provider-server.ts'

type Sent = {
  messages: Json[]
  tools?: Json[]
  response_format?: Json
  max_tokens?: number
}

/** What a call comes to: all of them count the prompt but the last. */
export type Outcome = 'says' | 'calls' | 'stops early' | 'falls silent' | 'never answers' | 'refuses'

export type HonestProvider = {
  /** What it has counted so far: the prompt of each request that it did not refuse, and each token that it has written. */
  counted(): number
  behave(request: Pick<ProviderRequest, 'path' | 'body'>): Behaviour
}

const WORDS = [
  ' time',
  ' person',
  ' year',
  ' way',
  ' day',
  ' thing',
  ' man',
  ' world',
  ' life',
  ' hand',
  ' part',
  ' child',
]
/** Tokens that it adds to each message, and to what it is told of tools. */
const FRAME = 4

/**
 * A provider that counts with a tokenizer of its own what it is sent and what it writes. `choose` says what a call comes
 * to; `mostTokens` is the longest reply that its model would write; `says` whether it tells what it has counted.
 */
export function createHonestProvider(model: {
  choose(): { outcome: Outcome; mostTokens: number; delayMs: number; saysUsage: boolean }
}): HonestProvider {
  let counted = 0
  let calls = 0

  function behave({ body }: Pick<ProviderRequest, 'path' | 'body'>): Behaviour {
    const sent = body as Sent
    const { outcome, mostTokens, delayMs, saysUsage } = model.choose()
    if (outcome === 'refuses') return { status: 500, pieces: ['{"error":{"message":"overloaded"}}'] }
    const prompt = promptOf(sent)
    counted += prompt
    if (outcome === 'never answers') return { isSilent: true }
    const room = Math.min(sent.max_tokens ?? Number.POSITIVE_INFINITY, mostTokens)
    const tool = (sent.tools?.[0]?.['function'] as Json | undefined)?.['name']
    const mayCall = outcome === 'calls' && tool !== undefined && sent['tool_choice' as keyof Sent] === undefined
    const call = { id: 'call_0', function: { name: tool, arguments: JSON.stringify({ n: calls++ }) } }
    const callTokens = countTokens(JSON.stringify(call))
    const makesCall = mayCall && callTokens <= room
    const written = makesCall ? callTokens : room
    const usage = { prompt_tokens: prompt, completion_tokens: written }
    const cost = new Map<Piece, number>()
    const pieces: Piece[] = []
    const write = (choices: object[], tokens: number, more: object = {}) => {
      const piece = chatChunk(choices, { n: pieces.length, ...more })
      cost.set(piece, tokens)
      pieces.push(piece)
    }
    const isCut = outcome === 'stops early' || outcome === 'falls silent'
    if (makesCall)
      write([{ index: 0, delta: { tool_calls: [{ index: 0, ...call }] }, finish_reason: null }], callTokens)
    for (let n = 0; !makesCall && n < (isCut ? Math.ceil(room / 2) : room); n++) {
      if (delayMs > 0 && n % 4 === 0) pieces.push({ waitMs: delayMs })
      write([{ index: 0, delta: { content: WORDS[n % WORDS.length] }, finish_reason: null }], 1)
    }
    if (!isCut) {
      write(
        [{ index: 0, delta: {}, finish_reason: makesCall ? 'tool_calls' : room < mostTokens ? 'length' : 'stop' }],
        0,
      )
      if (saysUsage) write([], 0, { usage })
      pieces.push('data: [DONE]\n\n')
    }
    return {
      headers: { 'content-type': 'text/event-stream' },
      pieces,
      ending: outcome === 'stops early' ? 'cut' : outcome === 'falls silent' ? 'hang' : 'end',
      wrote: (piece) => {
        counted += cost.get(piece) ?? 0
      },
    }
  }

  return { counted: () => counted, behave }
}

/** Tokens of each page of a PDF file; how many it has stands in its name. */
const PAGE_TOKENS = 2_000

type Part = { type: string; text?: string; file?: { filename: string } }

function contentTokens(content: unknown): number {
  if (typeof content === 'string') return countTokens(content)
  const parts = (content ?? []) as Part[]
  const pagesOf = ({ file }: Part) => Number(/-(\d+)-pages/.exec(file?.filename ?? '')?.[1] ?? 0)
  return parts.reduce((sum, part) => sum + countTokens(part.text ?? '') + pagesOf(part) * PAGE_TOKENS, 0)
}

/** Tokens of a prompt: of each message with its frame and its calls, of the tools, and of the form of the reply. */
function promptOf({ messages, tools, response_format }: Sent): number {
  const ofMessages = messages.map(({ content, tool_calls }) => {
    return contentTokens(content) + (tool_calls ? countTokens(JSON.stringify(tool_calls)) : 0) + FRAME
  })
  const beside = [tools, response_format].map((part) => (part ? countTokens(JSON.stringify(part)) : 0))
  return [...ofMessages, ...beside].reduce((sum, tokens) => sum + tokens, 0)
}
