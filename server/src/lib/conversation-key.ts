/** Names a conversation: its organization stands in it, so that nothing is ever found for another. */
export type ConversationKey = { organizationId: string; conversationId: string }
