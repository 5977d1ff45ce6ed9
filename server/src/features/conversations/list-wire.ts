import { badField } from '../../errors.ts'
import { DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE } from '../../http/answers/pagination.ts'
import { Type } from '../../lib/schema.ts'
import type { PersonaChoice } from './conversation.ts'
import type { ListRequest } from './conversation-service.ts'

const optional = Type.Optional
const METADATA_PREFIX = 'metadata.'
const MAX_METADATA_FILTERS = 10

export const ListQuery = Type.Object({
  continuationToken: optional(Type.String({ maxLength: 200 })),
  pageSize: optional(Type.Integer({ minimum: 1, maximum: MAX_PAGE_SIZE })),
  includeMessages: optional(Type.Boolean()),
  isActive: optional(Type.Boolean()),
  status: optional(Type.String({ maxLength: 64 })),
  from: optional(Type.String({ format: 'date-time', description: 'Created at this time or later.' })),
  to: optional(Type.String({ format: 'date-time', description: 'Created at this time or earlier.' })),
})

type ListQueryValues = {
  continuationToken?: string
  pageSize?: number
  includeMessages?: boolean
  isActive?: boolean
  status?: string
  from?: string
  to?: string
}

/** What a list is asked for. `metadata.key=value` may stand beside the named parameters. Throws 400. */
export function toListRequest(
  query: ListQueryValues,
  persona: PersonaChoice,
  externalUserId: string | null,
): ListRequest {
  return {
    filter: {
      persona,
      externalUserId,
      isActive: query.isActive ?? null,
      status: query.status || null,
      from: query.from ? Date.parse(query.from) : null,
      to: query.to ? Date.parse(query.to) : null,
      metadata: metadataFilters(query as Record<string, unknown>),
    },
    pageSize: query.pageSize ?? DEFAULT_PAGE_SIZE,
    continuationToken: query.continuationToken || null,
    includeMessages: query.includeMessages ?? false,
  }
}

function metadataFilters(query: Record<string, unknown>): { key: string; value: string }[] {
  const filters = Object.entries(query)
    .filter(([name]) => name.startsWith(METADATA_PREFIX) && name.length > METADATA_PREFIX.length)
    .map(([name, value]) => {
      if (typeof value !== 'string') throw badField(name, 'may be given once')
      return { key: name.slice(METADATA_PREFIX.length), value }
    })
    .sort((a, b) => (a.key < b.key ? -1 : 1))
  if (filters.length > MAX_METADATA_FILTERS)
    throw badField('metadata', `may be filtered by ${MAX_METADATA_FILTERS} members`)
  return filters
}
