import type { ModelFinishReason, ModelRequest, ModelResult } from '../model.ts'
import { ModelError } from '../model-error.ts'
import { plainResponseFormat } from '../response-format.ts'
import { toChatHistory } from './chat-history.ts'
import type { LoadedModel } from './loaded-models.ts'
import type { LlamaChatOptions, LlamaGrammar } from './runtime.ts'

/** What llama.cpp's own server uses when nothing is said. */
const USUAL_SAMPLING = { temperature: 0.8, topP: 0.95, topK: 40 }

/** Tokens of the context that stay free, so that the runtime never drops the beginning of the conversation by itself. */
const SPARE_TOKENS = 8

const FINISH_REASONS: Readonly<Record<string, ModelFinishReason>> = { maxTokens: 'length' }

export type Listener = { onText(text: string): void; onActivity(): void; onThought?(text: string): void }

/** One reply. Rejects with a {@link ModelError} (`refused`), or with whatever the runtime throws. */
export async function generateReply(
  loaded: LoadedModel,
  request: ModelRequest,
  { onText, onActivity, onThought }: Listener,
  signal: AbortSignal,
): Promise<ModelResult> {
  const { settings } = request
  const grammar = await grammarFor(loaded, settings)
  const history = toChatHistory(request)
  const chat = loaded.startChat()
  try {
    const { contextText } = chat.chatWrapper.generateContextState({ chatHistory: history })
    const promptTokens = contextText.tokenize(loaded.model.tokenizer).length
    const room = loaded.contextSize - promptTokens - SPARE_TOKENS
    if (room < 1)
      throw refused(
        `The prompt has ${promptTokens} tokens, and the context of ${loaded.contextSize} is too small for it`,
      )
    const before = loaded.sequence.tokenMeter.getState()
    const { metadata } = await chat.generateResponse(history, {
      ...samplingOf(settings),
      ...(grammar === null ? {} : { grammar }),
      signal,
      maxTokens: Math.min(settings.maxTokens ?? room, room),
      customStopTriggers: [settings.stop ?? []].flat(),
      contextShift: { size: 1 },
      onResponseChunk: ({ type, text }) => {
        if (type !== undefined && text !== '' && onThought) onThought(text)
        else if (type !== undefined) onActivity()
        else if (text !== '') onText(text)
      },
    })
    const { usedOutputTokens } = loaded.sequence.tokenMeter.diff(before)
    return {
      finishReason: FINISH_REASONS[metadata.stopReason] ?? 'stop',
      usage: { promptTokens, completionTokens: usedOutputTokens },
    }
  } finally {
    chat.dispose()
  }
}

function samplingOf(settings: ModelRequest['settings']) {
  const { temperature, topP, topK, seed, frequencyPenalty, presencePenalty } = settings
  const sampling: Pick<LlamaChatOptions, 'temperature' | 'topP' | 'topK' | 'seed' | 'repeatPenalty'> = {
    temperature: temperature ?? USUAL_SAMPLING.temperature,
    topP: topP ?? USUAL_SAMPLING.topP,
    topK: topK ?? USUAL_SAMPLING.topK,
  }
  // The runtime's are natural numbers.
  if (seed !== undefined) sampling.seed = seed >>> 0
  if (frequencyPenalty !== undefined || presencePenalty !== undefined) {
    const [frequency, presence] = [frequencyPenalty ?? 0, presencePenalty ?? 0]
    sampling.repeatPenalty = { penalty: 1, frequencyPenalty: frequency, presencePenalty: presence }
  }
  return sampling
}

async function grammarFor({ llama }: LoadedModel, settings: ModelRequest['settings']): Promise<LlamaGrammar | null> {
  const format = plainResponseFormat(settings.responseFormat)
  if (format === null || format.type === 'text') return null
  if (format.type === 'json_object') return llama.getGrammarFor('json')
  try {
    return await llama.createGrammarForJsonSchema(format.json_schema.schema)
  } catch (error) {
    throw refused('The JSON Schema of the reply is more than a local model can be held to', error)
  }
}

function refused(message: string, cause?: unknown): ModelError {
  return new ModelError('refused', message, { aiSystem: 'local', ...(cause === undefined ? {} : { cause }) })
}
