const MOST_REDIRECTS = 5
const REDIRECTS = new Set([301, 302, 307, 308])

/**
 * A `fetch` that follows redirects to the same host, with the method, the body and the headers: servers add a slash to a
 * path, or send from http to https. Any other redirect is the answer. `fetch` itself must follow none.
 */
export function followingOnHost(fetch: typeof globalThis.fetch): typeof globalThis.fetch {
  return async (input, init) => {
    let url = new URL(input as string | URL)
    for (let left = MOST_REDIRECTS; ; left--) {
      const answer = await fetch(url, init)
      const target = REDIRECTS.has(answer.status) ? targetOf(answer, url) : null
      if (target === null) return answer
      // Without where it leads: the SDK would follow it on.
      if (left === 0) return new Response(answer.body, { status: answer.status })
      await answer.body?.cancel()
      url = target
    }
  }
}

/** Null for what leads to another host, or from https to http. */
function targetOf(answer: Response, from: URL): URL | null {
  const location = answer.headers.get('location')
  if (location === null || !URL.canParse(location, from.href)) return null
  const to = new URL(location, from)
  if (to.username !== '' || to.password !== '' || to.hostname !== from.hostname) return null
  const isSame = to.protocol === from.protocol && to.port === from.port
  const isUpgrade = from.protocol === 'http:' && from.port === '' && to.protocol === 'https:' && to.port === ''
  return isSame || isUpgrade ? to : null
}
