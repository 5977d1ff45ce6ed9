/** A turn of a talk with a guide to a city: shown in the document, and sent to a server by a test. */
const CONVERSATION_ID = '0199b1c3-5a10-7000-be41-356e7240da58'
const RUN_ID = '0199b1c4-0400-7000-88a0-7efe0f0fb9bb'
const MESSAGE_ID = '0199b1c4-0400-7002-b7bb-e4e7ba09a711'
const USAGE = { prompt_tokens: 31, completion_tokens: 22, total_tokens: 53 }

export const USER_MESSAGE_EXAMPLE = { message: 'Where do I get breakfast?' }
export const EDITED_MESSAGE_EXAMPLE = { content: 'Where do I get breakfast on a Sunday?' }

export const CHAT_EXAMPLE = {
  id: RUN_ID,
  object: 'chat.completion',
  created: 1767605460,
  choices: [
    {
      finish_reason: 'stop',
      index: 0,
      message: {
        role: 'assistant',
        content: 'Try the market at Bürkliplatz on a Friday: fresh bread and coffee from six o’clock on.',
        toolCallId: null,
        name: null,
      },
    },
  ],
  usage: USAGE,
  messageId: MESSAGE_ID,
  runId: RUN_ID,
  httpRequestId: '0199b1c4-03f0-7000-b27b-89aa52f8b06c',
  citations: [],
}

const FIRST_ITEM = {
  choice: { finish_reason: null, index: 0, message: { role: 'assistant', content: 'Try the market.' } },
  messageId: MESSAGE_ID,
  runId: RUN_ID,
}
const LAST_ITEM = {
  choice: { finish_reason: 'stop', index: 0, message: { content: '' } },
  messageId: MESSAGE_ID,
  runId: RUN_ID,
  usage: USAGE,
}

/** A reply of two items as an array. */
export const ITEMS_EXAMPLE = [FIRST_ITEM, LAST_ITEM]

/** The same as server-sent events. */
export const EVENTS_EXAMPLE = `id: ${RUN_ID}:0
data: ${JSON.stringify(FIRST_ITEM)}

id: ${RUN_ID}:1
data: ${JSON.stringify(LAST_ITEM)}

data: [DONE]

`

export const CANCEL_EXAMPLE = {
  runId: RUN_ID,
  status: 'cancelled',
  finishReason: 'cancelled',
  textLength: 38,
  usage: {
    prompt_tokens: 31,
    completion_tokens: 9,
    total_tokens: 40,
  },
}

export const RUN_EXAMPLE = {
  runId: RUN_ID,
  conversationId: CONVERSATION_ID,
  kind: 'send',
  status: 'completed',
  finishReason: 'stop',
  userMessageId: '0199b1c4-0400-7001-9a94-5e37b8d9d4ee',
  messageId: MESSAGE_ID,
  aiSystem: 'anthropic',
  model: 'claude-sonnet-4-6',
  usage: USAGE,
  isUsageEstimated: false,
  context: {
    policy: 'truncate',
    window: 200000,
    firstMessageId: '0199b1c3-5a10-7002-a2fb-e8a720879b4b',
    messages: 2,
    systemTokens: 35,
    historyTokens: 13,
    summaryVersion: null,
  },
  createdAt: '2026-01-05T09:31:00.000Z',
  startedAt: '2026-01-05T09:31:00.000Z',
  firstTokenAt: '2026-01-05T09:31:00.420Z',
  endedAt: '2026-01-05T09:31:01.160Z',
  timeToFirstTokenMs: 420,
  durationMs: 1160,
  restarts: 0,
  attempts: [
    {
      aiSystem: 'anthropic',
      model: 'claude-sonnet-4-6',
      outcome: 'completed',
      error: null,
      startedAt: '2026-01-05T09:31:00.002Z',
      firstTokenAt: '2026-01-05T09:31:00.420Z',
      endedAt: '2026-01-05T09:31:01.155Z',
      usage: USAGE,
      finishReason: 'end_turn',
    },
  ],
  error: null,
}

export const RUNS_EXAMPLE = { data: [RUN_EXAMPLE], continuationToken: null }

export const TOOL_RESULTS_EXAMPLE = { results: [{ toolCallId: 'call_1', content: { opens: '06:00' } }] }
export const TOOL_DECISION_EXAMPLE = { toolCallId: 'call_1' }
