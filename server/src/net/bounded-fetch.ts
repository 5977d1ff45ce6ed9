import type { Dispatcher, Response as UndiciResponse, fetch as undiciFetch } from 'undici'

/** An answer that is larger than it may be. */
export class AnswerTooLarge extends Error {
  constructor(mostBytes: number) {
    super(`the answer has more than ${mostBytes} bytes`)
    this.name = 'AnswerTooLarge'
  }
}

/**
 * Makes a `fetch` whose connections are the dispatcher's, which follows no redirect (one is an error, or the answer where
 * `redirect` is `manual`), and whose answers break off with
 * {@link AnswerTooLarge} behind `mostBytes`: counted as they are read, behind their decompression, so that no more than
 * that is ever unpacked. `onRequest` is told of every request before it is made, and what it throws is thrown.
 */
export async function createBoundedFetch(options: {
  dispatcher: Dispatcher
  mostBytes: number
  /** Of an answer that is no success; as many by default. */
  mostOfError?: number
  redirect?: 'error' | 'manual'
  onRequest?(): void
  /** Is told of an answer that is too large: who reads a stream of events may not hear of it in another way. */
  onTooLarge?(error: AnswerTooLarge): void
}): Promise<typeof globalThis.fetch> {
  const { dispatcher, mostBytes, mostOfError = mostBytes, redirect = 'error', onRequest, onTooLarge } = options
  // Loaded where it is used: the start needs none of it.
  const { fetch, Response } = await import('undici')

  function bounded(answer: UndiciResponse): UndiciResponse {
    const { status, statusText, headers, body } = answer
    if (body === null) return answer
    const most = status < 400 ? mostBytes : mostOfError
    let bytes = 0
    const counter = new TransformStream<Uint8Array, Uint8Array>({
      transform(piece, controller) {
        bytes += piece.byteLength
        if (bytes <= most) return controller.enqueue(piece)
        const error = new AnswerTooLarge(most)
        controller.error(error)
        onTooLarge?.(error)
      },
    })
    return new Response(body.pipeThrough(counter), { status, statusText, headers })
  }

  const through = async (input: string | URL, init?: RequestInit) => {
    onRequest?.()
    return bounded(await fetch(input, { ...(init as Parameters<typeof undiciFetch>[1]), dispatcher, redirect }))
  }
  return through as unknown as typeof globalThis.fetch
}
