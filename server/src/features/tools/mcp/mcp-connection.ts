import type { Client } from '@modelcontextprotocol/sdk/client/index.js'
import type { HideSecrets } from '../hiding/hide-secrets.ts'
import { failureOf, McpFailure } from './mcp-failure.ts'

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
  /**
   * Does `work` with the session that there is, or with a new one; once more when the server says that it has forgotten the
   * session. Throws `McpFailure` for what the server is to blame for.
   */
  use<T>(work: (session: McpSession) => Promise<T>): Promise<T>
  close(): Promise<void>
}

/**
 * The connection of one run to one server: made when it is used, and ended when nobody has used it for a while. Sessions
 * that the server has forgotten stay until then: others may still read an answer in them.
 */
export function createMcpConnection(open: () => Promise<McpSession>): McpConnection {
  let opening: Promise<McpSession> | null = null
  let users = 0
  const forgotten = new Set<McpSession>()
  let idle: NodeJS.Timeout | undefined

  async function close(): Promise<void> {
    clearTimeout(idle)
    const closing = opening
    opening = null
    const sessions = [await closing?.catch(() => null), ...forgotten]
    forgotten.clear()
    await Promise.all(sessions.map((session) => session?.close()))
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

  async function attempt<T>(connecting: Promise<McpSession>, work: (session: McpSession) => Promise<T>): Promise<T> {
    const session = await connecting
    try {
      return await Promise.race([work(session), session.broken])
    } catch (error) {
      throw failureOf(error, session.hide)
    }
  }

  return {
    async use(work) {
      clearTimeout(idle)
      users++
      const first = connected()
      try {
        return await attempt(first, work)
      } catch (error) {
        if (!(error instanceof McpFailure && error.isSessionGone)) throw error
        if (opening === first) opening = null
        forgotten.add(await first)
        return await attempt(connected(), work)
      } finally {
        users--
        if (users === 0) idle = setTimeout(() => void close(), IDLE_MS).unref()
      }
    },
    close,
  }
}
