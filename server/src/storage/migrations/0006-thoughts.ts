/** What a provider wants back with a message of its model, such as thoughts and their signatures. */
export function thoughts(): string[] {
  return ['alter table message add column thoughts text', 'alter table replaced_message add column thoughts text']
}
