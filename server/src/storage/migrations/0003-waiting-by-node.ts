/** Each node looks for its own places in lines, one look for all of them. */
export function waitingByNode(): string[] {
  return ['create index waiting_turn_by_node on waiting_turn (node_id)']
}
