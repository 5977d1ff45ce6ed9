/** A talk with a guide to a city, begun and given back: shown in the document, and sent to a server by a test. */
const CONVERSATION_ID = '0199b1c3-5a10-7000-be41-356e7240da58'
const PERSONA_ID = '0199b1c2-6f00-7000-8044-d5addfb01105'
const VERSION_ID = '0199b1c2-6f00-7001-a584-a48ba078f099'
const SAID_AT = '2026-01-05T09:30:00.000Z'

export const CREATE_WITH_PERSONA_EXAMPLE = {
  personaId: PERSONA_ID,
  replacements: { city: 'Zurich' },
  externalUserId: 'user-42',
  metadata: { channel: 'web' },
}

export const CREATE_CONVERSATION_EXAMPLE = {
  aiSystem: 'default',
  model: 'default',
  systemMessage: 'Answer in one sentence.',
  configuration: { temperature: 0.2 },
  externalUserId: 'user-42',
}

export const SET_ACTIVE_EXAMPLE = { isActive: true }
export const SET_METADATA_EXAMPLE = { metadata: { channel: 'web', ticket: 'A-17' } }
export const SET_NAME_EXAMPLE = { conversationName: 'Breakfast in Zurich' }
export const SET_STATUS_EXAMPLE = { conversationStatus: 'closed' }
export const UPDATE_CONVERSATION_EXAMPLE = { conversationName: 'Breakfast in Zurich', conversationStatus: 'closed' }
export const SET_CONVERSATION_SCORE_EXAMPLE = { score: 9, scoreText: 'Solved at once', scoreTags: 'quick' }
export const SET_MESSAGE_SCORE_EXAMPLE = {
  score: 8,
  comments: 'Just what I needed',
  tags: ['helpful'],
  scoreConfidence: 0.9,
}

export const CONVERSATION_EXAMPLE = {
  conversationId: CONVERSATION_ID,
  aiSystem: 'anthropic',
  model: 'claude-sonnet-4-6',
  personaId: PERSONA_ID,
  personaVersionId: VERSION_ID,
  conversationStatus: 'open',
  conversationName: null,
  chatMessages: [
    {
      role: 'system',
      content: 'You show visitors around Zurich. Be brief.',
      toolCallId: null,
      name: null,
      messageId: '0199b1c3-5a10-7001-9dc3-025fa1ac2d22',
      timestamp: SAID_AT,
      feedbacks: [],
      promptTokens: 0,
      completionTokens: 0,
      totalTokens: 0,
      conversationRunId: '00000000-0000-0000-0000-000000000000',
    },
    {
      role: 'assistant',
      content: 'Welcome to Zurich!',
      toolCallId: null,
      name: null,
      messageId: '0199b1c3-5a10-7002-a2fb-e8a720879b4b',
      timestamp: SAID_AT,
      feedbacks: [],
      promptTokens: 0,
      completionTokens: 0,
      totalTokens: 0,
      conversationRunId: '00000000-0000-0000-0000-000000000000',
    },
  ],
  chatMessagesCount: 2,
  chatStarted: false,
  areChatMessagesInBlob: false,
  chatMessagesBlobUri: null,
  configuration: {
    temperature: 0.7,
    variables: {
      city: {
        required: true,
      },
    },
  },
  metadata: {
    channel: 'web',
  },
  externalUserId: 'user-42',
  isActive: true,
  isDeleted: false,
  promptTokens: 0,
  completionTokens: 0,
  totalTokens: 0,
}

export const CONVERSATIONS_EXAMPLE = {
  data: [{ ...CONVERSATION_EXAMPLE, chatMessages: null }],
  continuationToken: null,
}
