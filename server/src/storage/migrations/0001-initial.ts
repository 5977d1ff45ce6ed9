import type { ColumnTypes } from '../dialect.ts'

/** The tables of `schema.ts`, in SQL because this is what a reviewer must be able to read. */
export function initial(t: ColumnTypes): string[] {
  return [
    `create table organization (
       id ${t.id} not null primary key,
       name text not null,
       token_secret text not null,
       created_at ${t.time} not null
     ) ${t.clustered}`,

    `create table api_key (
       organization_id ${t.id} not null,
       id ${t.id} not null,
       name text not null,
       prefix text not null,
       hash text not null,
       scopes text not null,
       created_at ${t.time} not null,
       daily_tokens ${t.count},
       expires_at ${t.time},
       revoked_at ${t.time},
       last_used_at ${t.time},
       primary key (organization_id, id)
     ) ${t.clustered}`,
    // The one lookup that cannot begin with the organization: the key is what tells which one it is.
    `create unique index api_key_hash on api_key (hash)`,

    `create table persona (
       organization_id ${t.id} not null,
       id ${t.id} not null,
       name text not null,
       description text not null,
       tags text,
       image_url text,
       metadata text,
       default_version_id ${t.id} not null,
       is_active ${t.flag} not null,
       is_api_enabled ${t.flag} not null,
       is_secret ${t.flag} not null,
       is_chattable ${t.flag} not null,
       is_tool ${t.flag} not null,
       is_chatbot ${t.flag} not null,
       search_text text not null,
       search_tags text not null,
       revision ${t.count} not null,
       created_at ${t.time} not null,
       modified_at ${t.time},
       deleted_at ${t.time},
       primary key (organization_id, id)
     ) ${t.clustered}`,

    `create table persona_version (
       organization_id ${t.id} not null,
       persona_id ${t.id} not null,
       id ${t.id} not null,
       text text,
       greeting text,
       ai_system text not null,
       model text not null,
       configuration text,
       metadata text,
       dataspace_ids text,
       is_active ${t.flag} not null,
       created_at ${t.time} not null,
       modified_at ${t.time},
       primary key (organization_id, persona_id, id)
     ) ${t.clustered}`,

    `create table conversation (
       organization_id ${t.id} not null,
       id ${t.id} not null,
       persona_id ${t.id},
       persona_version_id ${t.id},
       external_user_id text,
       status text not null,
       name text,
       ai_system text not null,
       model text not null,
       configuration text,
       metadata text,
       dataspace_ids text,
       is_active ${t.flag} not null,
       is_started ${t.flag} not null,
       message_count ${t.count} not null,
       archived_count ${t.count} not null,
       system_message_id ${t.id},
       last_message_id ${t.id},
       prompt_tokens ${t.count} not null,
       completion_tokens ${t.count} not null,
       score ${t.count},
       score_text text,
       score_tags text,
       created_at ${t.time} not null,
       deleted_at ${t.time},
       primary key (organization_id, id)
     ) ${t.clustered}`,
    // Partial, so that a conversation without a persona or a user costs nothing in them.
    `create index conversation_persona on conversation (organization_id, persona_id, id) where persona_id is not null`,
    `create index conversation_user on conversation (organization_id, external_user_id, id) where external_user_id is not null`,

    `create table message (
       organization_id ${t.id} not null,
       conversation_id ${t.id} not null,
       id ${t.id} not null,
       role text not null,
       content text not null,
       tool_call_id text,
       name text,
       tool_calls text,
       attachments text,
       run_id ${t.id},
       prompt_tokens ${t.count} not null,
       completion_tokens ${t.count} not null,
       created_at ${t.time} not null,
       primary key (organization_id, conversation_id, id)
     ) ${t.clustered}`,

    `create table run (
       organization_id ${t.id} not null,
       conversation_id ${t.id} not null,
       id ${t.id} not null,
       user_message_id ${t.id} not null,
       reply_message_id ${t.id} not null,
       status text not null,
       ai_system text not null,
       model text not null,
       attempts text not null,
       finish_reason text,
       error text,
       request_id text,
       kind text not null,
       on_crash text not null,
       restarts ${t.count} not null,
       claim_id text,
       api_key_id ${t.id},
       budget_day text,
       reserved_tokens ${t.count} not null,
       prompt_tokens ${t.count} not null,
       completion_tokens ${t.count} not null,
       usage_is_estimated ${t.flag} not null,
       context text,
       event_lengths text,
       created_at ${t.time} not null,
       started_at ${t.time},
       first_token_at ${t.time},
       ended_at ${t.time},
       primary key (organization_id, conversation_id, id)
     ) ${t.clustered}`,

    `create table running_turn (
       organization_id ${t.id} not null,
       conversation_id ${t.id} not null,
       run_id ${t.id} not null,
       fence ${t.count} not null,
       node_id ${t.id} not null,
       expires_at ${t.time} not null,
       stop_requested text,
       primary key (organization_id, conversation_id)
     ) ${t.clustered}`,

    `create table waiting_turn (
       organization_id ${t.id} not null,
       conversation_id ${t.id} not null,
       run_id ${t.id} not null,
       node_id ${t.id} not null,
       expires_at ${t.time} not null,
       primary key (organization_id, conversation_id, run_id)
     ) ${t.clustered}`,

    `create table replaced_message (
       organization_id ${t.id} not null,
       conversation_id ${t.id} not null,
       id ${t.id} not null,
       role text not null,
       content text not null,
       tool_call_id text,
       name text,
       tool_calls text,
       attachments text,
       run_id ${t.id},
       prompt_tokens ${t.count} not null,
       completion_tokens ${t.count} not null,
       created_at ${t.time} not null,
       replaced_by ${t.id} not null,
       replaced_at ${t.time} not null,
       primary key (organization_id, conversation_id, id)
     ) ${t.clustered}`,

    `create table idempotency_claim (
       organization_id ${t.id} not null,
       id text not null,
       body_hash text not null,
       conversation_id ${t.id},
       run_id ${t.id},
       status ${t.count},
       headers text,
       body text,
       created_at ${t.time} not null,
       primary key (organization_id, id)
     ) ${t.clustered}`,
    `create index idempotency_claim_age on idempotency_claim (created_at)`,
    // For erasing: the stored answers hold what was said.
    `create index idempotency_claim_conversation on idempotency_claim (organization_id, conversation_id) where conversation_id is not null`,

    `create table token_budget (
       organization_id ${t.id} not null,
       api_key_id ${t.id} not null,
       day text not null,
       reserved ${t.count} not null,
       used ${t.count} not null,
       primary key (organization_id, api_key_id, day)
     ) ${t.clustered}`,

    `create table run_chunk (
       organization_id ${t.id} not null,
       run_id ${t.id} not null,
       first_event ${t.count} not null,
       text text not null,
       event_lengths text not null,
       primary key (organization_id, run_id, first_event)
     ) ${t.clustered}`,

    `create table conversation_summary (
       organization_id ${t.id} not null,
       conversation_id ${t.id} not null,
       version ${t.count} not null,
       up_to_message_id ${t.id} not null,
       text text,
       tokens ${t.count} not null,
       ai_system text,
       model text,
       run_id ${t.id} not null,
       expires_at ${t.time},
       created_at ${t.time} not null,
       primary key (organization_id, conversation_id, version)
     ) ${t.clustered}`,

    `create table feedback (
       organization_id ${t.id} not null,
       conversation_id ${t.id} not null,
       message_id ${t.id} not null,
       id ${t.id} not null,
       score ${t.count} not null,
       comments text,
       tags text,
       score_confidence ${t.real},
       created_at ${t.time} not null,
       primary key (organization_id, conversation_id, message_id, id)
     ) ${t.clustered}`,

    `create table tool_decision (
       organization_id ${t.id} not null,
       conversation_id ${t.id} not null,
       run_id ${t.id} not null,
       tool_call_id text not null,
       decision text not null,
       primary key (organization_id, conversation_id, run_id, tool_call_id)
     ) ${t.clustered}`,

    `create table secret (
       organization_id ${t.id} not null,
       name text not null,
       sealed text not null,
       created_at ${t.time} not null,
       modified_at ${t.time} not null,
       primary key (organization_id, name)
     ) ${t.clustered}`,

    `create table archive_segment (
       organization_id ${t.id} not null,
       conversation_id ${t.id} not null,
       number ${t.count} not null,
       first_id ${t.id} not null,
       last_id ${t.id} not null,
       message_count ${t.count} not null,
       blob_key text not null,
       sha256 text not null,
       byte_count ${t.count} not null,
       created_at ${t.time} not null,
       primary key (organization_id, conversation_id, number)
     ) ${t.clustered}`,

    `create table attachment (
       organization_id ${t.id} not null,
       conversation_id ${t.id} not null,
       id ${t.id} not null,
       message_id ${t.id},
       name text not null,
       media_type text not null,
       byte_count ${t.count} not null,
       sha256 text not null,
       tokens ${t.count} not null,
       blob_key text not null,
       created_at ${t.time} not null,
       primary key (organization_id, conversation_id, id)
     ) ${t.clustered}`,
    // Of all organizations: what nobody uses is swept.
    `create index attachment_unused on attachment (created_at) where message_id is null`,

    `create table unclaimed_blob (
       organization_id ${t.id} not null,
       blob_key text not null,
       is_doomed ${t.flag} not null,
       due_at ${t.time} not null,
       primary key (organization_id, blob_key)
     ) ${t.clustered}`,

    `create table erasure (
       organization_id ${t.id} not null,
       id ${t.id} not null,
       external_user_id text,
       conversation_id ${t.id},
       created_at ${t.time} not null,
       primary key (organization_id, id)
     ) ${t.clustered}`,

    `create table erased_usage (
       organization_id ${t.id} not null,
       day text not null,
       ai_system text not null,
       model text not null,
       runs ${t.count} not null,
       prompt_tokens ${t.count} not null,
       completion_tokens ${t.count} not null,
       primary key (organization_id, day, ai_system, model)
     ) ${t.clustered}`,

    `create table erased_conversations (
       organization_id ${t.id} not null,
       day text not null,
       conversations ${t.count} not null,
       messages ${t.count} not null,
       primary key (organization_id, day)
     ) ${t.clustered}`,
  ]
}
