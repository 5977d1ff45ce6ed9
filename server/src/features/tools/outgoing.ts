import { ToolError } from './server-tool.ts'

/** Requests that one run may cause outside, retries, redirects and the handshakes of MCP servers included. */
export const MOST_OUTGOING = 128

export type Outgoing = {
  /** Counts a request that is about to be made. Throws a {@link ToolError} when it is one too many. */
  take(): void
}

export function createOutgoing(most = MOST_OUTGOING): Outgoing {
  let left = most
  return {
    take() {
      if (left === 0) throw new ToolError(`not called, because a reply may make ${most} requests to tools.`)
      left--
    },
  }
}
