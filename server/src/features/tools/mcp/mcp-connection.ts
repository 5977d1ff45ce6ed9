import type { Client } from '@modelcontextprotocol/sdk/client/index.js'
import type { HideSecrets } from '../hiding/hide-secrets.ts'

/** Milliseconds for which a connection that nobody uses is kept: a run may wait an hour for an approval. */
const IDLE_MS = 30_000

/** A session with an MCP server. */
export type McpSession = {
  client: Client
  /** Takes what was secret in our requests out of what it answers. */
  hide: HideSecrets
  /** Rejects when it cannot go on. */
  broken: Promise<never>
  /** Ends it, and whatever process it has; a second time it does nothing more. Never rejects. */
  close(): Promise<void>
}

export type McpConnection = {
  /** Does `work` with the session that there is, or with a new one. */
  use<T>(work: (session: McpSession) => Promise<T>): Promise<T>
  close(): Promise<void>
}

/** The connection of one run to one server: made when it is used, and ended when nobody has used it for a while. */
export function createMcpConnection(open: () => Promise<McpSession>): McpConnection {
  let opening: Promise<McpSession> | null = null
  let users = 0
  let idle: NodeJS.Timeout | undefined

  async function close(): Promise<void> {
    clearTimeout(idle)
    const closing = opening
    opening = null
    await (await closing?.catch(() => null))?.close()
  }

  function connected(): Promise<McpSession> {
    if (opening) return opening
    const mine = open()
    opening = mine
    const forget = () => {
      if (opening === mine) opening = null
    }
    mine.then((session) => {
      session.broken.catch(() => {
        forget()
        void session.close()
      })
    }, forget)
    return mine
  }

  return {
    async use(work) {
      clearTimeout(idle)
      users++
      try {
        const session = await connected()
        return await Promise.race([work(session), session.broken])
      } finally {
        users--
        if (users === 0) idle = setTimeout(() => void close(), IDLE_MS).unref()
      }
    },
    close,
  }
}
