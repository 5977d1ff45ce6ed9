/** Why a message is left out of what models are sent: a provider has refused it. Null where it is not. */
export function leftOutMessages(): string[] {
  return ['alter table message add column left_out text', 'alter table replaced_message add column left_out text']
}
