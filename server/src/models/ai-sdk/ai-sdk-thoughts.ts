import type {
  LanguageModelV4Message,
  LanguageModelV4StreamPart,
  LanguageModelV4TextPart,
  SharedV4ProviderMetadata,
} from '@ai-sdk/provider'
import type { JsonObject } from '../../lib/json.ts'
import type { ThoughtPart, Thoughts } from '../thinking/thoughts.ts'

type AssistantParts = Extract<LanguageModelV4Message, { role: 'assistant' }>['content']
type Told = ReturnType<typeof createPartCollector>

/** Gathers the order of a message's thoughts and texts, and what the provider has said about each. */
export function createPartCollector() {
  const parts: ThoughtPart[] = []
  const open = new Map<string, ThoughtPart>()

  function begin(key: string, part: ThoughtPart): ThoughtPart {
    parts.push(part)
    open.set(key, part)
    return part
  }

  /** The newest counts for each provider's word: signatures come at the end. */
  function note(part: ThoughtPart, metadata: SharedV4ProviderMetadata | undefined): void {
    if (metadata === undefined) return
    const before = part.metadata ?? {}
    part.metadata = { ...before }
    for (const [provider, said] of Object.entries(metadata)) {
      part.metadata[provider] = { ...(before[provider] as JsonObject | undefined), ...(said as JsonObject) }
    }
  }

  function ofReasoning(id: string): Extract<ThoughtPart, { type: 'reasoning' }> {
    const known = open.get(`reasoning ${id}`)
    return (known ?? begin(`reasoning ${id}`, { type: 'reasoning', text: '' })) as never
  }

  function ofText(id: string): Extract<ThoughtPart, { type: 'text' }> {
    const known = open.get(`text ${id}`)
    return (known ?? begin(`text ${id}`, { type: 'text', length: 0 })) as never
  }

  return {
    take(part: LanguageModelV4StreamPart): void {
      switch (part.type) {
        case 'reasoning-start':
          open.delete(`reasoning ${part.id}`)
          note(ofReasoning(part.id), part.providerMetadata)
          break
        case 'reasoning-delta': {
          const thought = ofReasoning(part.id)
          thought.text += part.delta
          note(thought, part.providerMetadata)
          break
        }
        case 'reasoning-end':
          note(ofReasoning(part.id), part.providerMetadata)
          break
        case 'text-start':
          open.delete(`text ${part.id}`)
          note(ofText(part.id), part.providerMetadata)
          break
        case 'text-delta': {
          const text = ofText(part.id)
          text.length += part.delta.length
          note(text, part.providerMetadata)
          break
        }
        case 'text-end':
          note(ofText(part.id), part.providerMetadata)
          break
      }
    },
    /** Null where there is nothing but text. */
    all: (): ThoughtPart[] | null =>
      parts.some((part) => part.type === 'reasoning' || part.metadata !== undefined) ? parts : null,
  }
}

/** What the result of a call says of them; nothing where there is nothing to say. */
export function thoughtsOf(told: Told, aiSystem: string, model: string): { thoughts?: Thoughts } {
  const parts = told.all()
  return parts === null ? {} : { thoughts: { aiSystem, model, parts } }
}

/**
 * The thoughts and the text of a message in their order, for the model that has thought them. A text that is not what it
 * was comes as one piece behind all thoughts. To another model, and with an answer that nothing is signed in, the text
 * goes alone.
 */
export function toAssistantParts(
  content: string,
  thoughts: Thoughts | undefined,
  to: { aiSystem: string; model: string },
): AssistantParts {
  const whole: LanguageModelV4TextPart[] = content === '' ? [] : [{ type: 'text', text: content }]
  const isOwn = thoughts?.aiSystem === to.aiSystem && thoughts.model === to.model
  if (!isOwn || !thoughts.parts) return whole
  const { parts } = thoughts
  const length = parts.reduce((sum, part) => sum + (part.type === 'text' ? part.length : 0), 0)
  const isSame = length === content.length
  let from = 0
  const placed = parts.flatMap((part): AssistantParts => {
    const options = part.metadata && { providerOptions: part.metadata as SharedV4ProviderMetadata }
    if (part.type === 'reasoning') return [{ type: 'reasoning', text: part.text, ...options }]
    const text = content.slice(from, from + part.length)
    from += part.length
    // Gemini may sign a text with nothing in it.
    return isSame && (text !== '' || part.metadata) ? [{ type: 'text', text, ...options }] : []
  })
  return isSame ? placed : [...placed, ...whole]
}
