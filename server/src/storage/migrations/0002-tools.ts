import type { ColumnTypes } from '../dialect.ts'

const FORMER =
  '["conversations:read","conversations:write","personas:read","personas:write","feedback:read","feedback:write",' +
  '"reports:read","reports:write","admin:read","admin:write"'

/**
 * Where a secret may go; null for any host. And the scope `tools:write`, which came later than the keys that may do
 * everything: these get it, and no other key does.
 */
export function tools(_t: ColumnTypes): string[] {
  return [
    `alter table secret add column hosts text`,
    // Keys are stored with their scopes in this order.
    `update api_key set scopes = '${FORMER},"tools:write"]' where scopes = '${FORMER}]'`,
  ]
}
