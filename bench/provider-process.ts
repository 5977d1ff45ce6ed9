import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

export type ProviderProcess = {
  port: number
  /** With `/v1`. */
  url: string
  /** Milliseconds between the tokens of replies from now on. */
  pace(tokenMs: number): void
  /** How many messages the last request had, and its bytes. */
  lastRequest(): Promise<{ messages: number; bytes: number }>
  stop(): Promise<void>
}

/** Starts provider.ts in a process of its own. */
export async function startProvider(): Promise<ProviderProcess> {
  const child = fork(join(import.meta.dirname, 'provider.ts'))
  const ended = once(child, 'exit')
  const [{ port }] = (await once(child, 'message')) as [{ port: number }]
  return {
    port,
    url: `http://127.0.0.1:${port}/v1`,
    pace: (tokenMs) => void child.send({ tokenMs }),
    async lastRequest() {
      child.send({ ask: 'last' })
      const [answer] = await once(child, 'message')
      return answer
    },
    async stop() {
      child.disconnect()
      await ended
    },
  }
}
