/*
 * What a provider says must not tell anybody a key: this takes out those that are configured, and whatever looks like one.
 * `hide-addresses.ts` takes out addresses, `discreet.ts` the words of the prompt.
 */

/** What stands where a secret was. Not a word: a word could itself be somebody's key. */
const MARK = '***'

/** Shorter ones (`none`, `x`) are what people give to a server that wants no key, and would mark half of every message. */
const SHORTEST_SECRET = 4

/** What looks like a key although it is none of ours: a proxy's, another account's, or one the provider quotes. */
const LOOKS_LIKE_A_SECRET: readonly [RegExp, string][] = [
  [/\b(Bearer|Basic)\s+[^\s"',;]+/gi, `$1 ${MARK}`],
  [/\b(?:sk|pk|rk|gsk|hf|xai|csk)[-_][A-Za-z0-9*_.-]{4,}/g, MARK],
  [/\bAIza[A-Za-z0-9*_-]{4,}/g, MARK],
  [/\b(?:AKIA|ASIA)[A-Z0-9]{8,}/g, MARK],
  [/([?&](?:api[-_]?key|key|token|access_token|signature|sig)=)[^&\s"'<>]+/gi, `$1${MARK}`],
  [/(\b[a-z][a-z0-9+.-]{0,30}:\/\/)[^\s/?#"'<>]{0,1000}@/gi, `$1${MARK}@`],
]

export type Redact = (text: string) => string

/**
 * Makes a function that takes every one of `secrets` (of at least 4 characters, also as it stands percent-encoded in a
 * URL), and whatever looks like a key or like the credentials of a URL, out of a text that somebody will see.
 */
export function createRedactor(secrets: readonly string[]): Redact {
  const spellings = new Set<string>()
  for (const secret of secrets) {
    if (secret.length < SHORTEST_SECRET) continue
    spellings.add(secret)
    spellings.add(encodeURIComponent(secret.toWellFormed()))
  }
  // The longest first: one secret may be the beginning of another.
  const ordered = [...spellings].sort((a, b) => b.length - a.length)
  return (text) => {
    let clean = text
    for (const secret of ordered) clean = clean.replaceAll(secret, MARK)
    for (const [pattern, replacement] of LOOKS_LIKE_A_SECRET) clean = clean.replace(pattern, replacement)
    return clean
  }
}
