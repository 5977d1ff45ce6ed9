import { isJsonObject, type JsonObject, type JsonValue } from '../../lib/json.ts'

/** Citations of one reply that are kept, and UTF-16 units of JSON that one may have. */
const MOST_CITATIONS = 128
const LONGEST_CITATION = 4_096

/**
 * Gathers what a reply says of where it has things from: OpenAI's and OpenRouter's `annotations`, the `citations` and
 * `search_results` that Perplexity and xAI repeat beside every piece, Mistral's references within the content. They stay as
 * the provider writes them; an address alone becomes `{url}`.
 */
export function createCitations() {
  const annotations = new Map<string, JsonObject>()
  let listed: JsonValue[] = []

  function add(values: JsonValue | undefined): void {
    if (!Array.isArray(values)) return
    for (const value of values) {
      const citation = typeof value === 'string' ? { url: value } : value
      if (!isJsonObject(citation) || annotations.size >= MOST_CITATIONS) continue
      const text = JSON.stringify(citation)
      if (text.length <= LONGEST_CITATION) annotations.set(text, citation)
    }
  }

  return {
    add,

    /** References among the parts of a content. */
    addFrom(content: JsonValue | undefined): void {
      if (!Array.isArray(content)) return
      for (const part of content) {
        if (!isJsonObject(part)) continue
        if (part.type === 'reference') add([part])
        add(part.annotations)
      }
    },

    /** The lists beside the choices, each time all there are by then. */
    replace({ citations, search_results: results }: JsonObject): void {
      // The results have the same addresses, with their titles.
      if (Array.isArray(results) && results.length > 0) listed = results
      else if (Array.isArray(citations) && citations.length > 0) listed = citations
    },

    all(): JsonObject[] {
      add(listed)
      return [...annotations.values()]
    },
  }
}
