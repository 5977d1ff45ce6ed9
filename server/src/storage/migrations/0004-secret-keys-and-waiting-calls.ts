import type { ColumnTypes } from '../dialect.ts'

/**
 * Which key a secret is encrypted with, so that those under a former one are found without opening all: `-` where it was
 * stored before this was written down. And the calls of tools that wait for an approval, so that they can be listed.
 */
export function secretKeysAndWaitingCalls(t: ColumnTypes): string[] {
  return [
    `alter table secret add column key_id text not null default '-'`,
    'create index secret_by_key on secret (key_id, organization_id, name)',

    `create table waiting_call (
       organization_id ${t.id} not null,
       conversation_id ${t.id} not null,
       run_id ${t.id} not null,
       tool_call_id text not null,
       id ${t.id} not null,
       name text not null,
       input text not null,
       created_at ${t.time} not null,
       expires_at ${t.time} not null,
       primary key (organization_id, conversation_id, run_id, tool_call_id)
     ) ${t.clustered}`,
    'create unique index waiting_call_by_id on waiting_call (organization_id, id)',
  ]
}
