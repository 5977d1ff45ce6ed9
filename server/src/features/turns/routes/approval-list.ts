import {
  createContinuationToken,
  type OpenPage,
  readContinuationToken,
  toOpenPage,
} from '../../../http/answers/pagination.ts'
import { PIECE_BYTES } from '../../../http/answers/pieces.ts'
import { cutBySize } from '../../../lib/text/cut-by-size.ts'
import type { Database } from '../../../storage/database.ts'
import type { OrganizationService } from '../../organizations/organization-service.ts'
import { findWaitingCalls, findWaitingIds, type WaitingCall } from '../run/waiting-call-queries.ts'

export type ApprovalList = ReturnType<typeof createApprovalList>

/** The calls of tools that wait for somebody to allow them. */
export function createApprovalList(deps: {
  database: Database
  organizations: Pick<OrganizationService, 'tokenSecret'>
}) {
  const { database, organizations } = deps

  /** A part at a time, because what a model calls with may be large. */
  async function* read(
    organizationId: string,
    found: readonly { id: string; bytes: number }[],
  ): AsyncGenerator<WaitingCall> {
    for (const part of cutBySize(found, PIECE_BYTES, ({ bytes }) => bytes)) {
      yield* await findWaitingCalls(
        database,
        organizationId,
        part.map(({ id }) => id),
      )
    }
  }

  return {
    /** Those of an organization, newest first. Throws 400 for a token that belongs to another list. */
    async list(
      organizationId: string,
      { pageSize, continuationToken }: { pageSize: number; continuationToken: string | null },
    ): Promise<OpenPage<WaitingCall>> {
      const secret = await organizations.tokenSecret(organizationId)
      const query = ['approvals']
      const after = continuationToken === null ? null : readContinuationToken(secret, query, continuationToken)
      const found = await findWaitingIds(database, organizationId, after, pageSize + 1)
      const tokenFor = (id: string) => createContinuationToken(secret, query, id)
      return toOpenPage(found, pageSize, tokenFor, (shown) => read(organizationId, shown))
    },
  }
}
