import { describe, expect, test } from 'vitest'
import { type Ending, endingOf, isFinishReason, NoAnswerError, resultOf } from './finish-reasons.ts'

describe('what a finish reason means', () => {
  test.each<[string, Ending]>([
    // OpenAI, and those who write as it does.
    ['stop', 'stop'],
    ['length', 'length'],
    ['tool_calls', 'tool_calls'],
    ['function_call', 'tool_calls'],
    ['content_filter', 'content_filter'],
    // Anthropic, Bedrock.
    ['end_turn', 'stop'],
    ['stop_sequence', 'stop'],
    ['max_tokens', 'length'],
    ['tool_use', 'tool_calls'],
    ['refusal', 'content_filter'],
    ['model_context_window_exceeded', 'length'],
    ['guardrail_intervened', 'content_filter'],
    ['content_filtered', 'content_filter'],
    ['malformed_model_output', 'failed'],
    ['malformed_tool_use', 'failed'],
    // Gemini, itself and behind its Chat Completions endpoint.
    ['STOP', 'stop'],
    ['MAX_TOKENS', 'length'],
    ['SAFETY', 'content_filter'],
    ['RECITATION', 'content_filter'],
    ['PROHIBITED_CONTENT', 'content_filter'],
    ['IMAGE_SAFETY', 'content_filter'],
    ['MALFORMED_FUNCTION_CALL', 'failed'],
    ['UNEXPECTED_TOOL_CALL', 'failed'],
    ['FINISH_REASON_UNSPECIFIED', 'unknown'],
    ['FinishReason.MAX_TOKENS', 'length'],
    ['content_filter: SAFETY', 'content_filter'],
    ['content_filter: OTHER', 'content_filter'],
    ['function_call_filter: MALFORMED_FUNCTION_CALL', 'failed'],
    // Cohere.
    ['COMPLETE', 'stop'],
    ['STOP_SEQUENCE', 'stop'],
    ['TOOL_CALL', 'tool_calls'],
    ['ERROR', 'failed'],
    ['ERROR_TOXIC', 'content_filter'],
    ['ERROR_LIMIT', 'failed'],
    ['TIMEOUT', 'failed'],
    // Mistral, DeepSeek, vLLM, SGLang, TGI, llama.cpp, LM Studio, Zhipu, watsonx.
    ['model_length', 'length'],
    ['error', 'failed'],
    ['insufficient_system_resource', 'failed'],
    ['abort', 'failed'],
    ['eos_token', 'stop'],
    ['eos', 'stop'],
    ['eosFound', 'stop'],
    ['maxPredictedTokensReached', 'length'],
    ['stopStringFound', 'stop'],
    ['modelUnloaded', 'failed'],
    ['toolCalls', 'tool_calls'],
    ['sensitive', 'content_filter'],
    ['network_error', 'failed'],
    ['time_limit', 'failed'],
    ['token_limit', 'length'],
    // In no list, and plain all the same.
    ['prompt_blocked_by_policy', 'content_filter'],
    ['upstream_error', 'failed'],
    ['max_time_tokens', 'length'],
    // Nobody knows.
    ['OTHER', 'unknown'],
    ['because', 'unknown'],
    ['toString', 'unknown'],
  ])('%s is %s', (raw, ending) => {
    expect(endingOf(raw)).toBe(ending)
  })

  test.each([null, undefined, 7, '', ' ', 'null', 'None'])('%s is none at all', (raw) => {
    expect(isFinishReason(raw)).toBe(false)
  })
})

describe('what a reply has come to', () => {
  const usage = { promptTokens: 1, completionTokens: 2 }
  const call = { id: 'a', name: 'now', input: {} }
  const reply = (raw: string, hasText: boolean, toolCalls: (typeof call)[] = []) =>
    resultOf({ ending: endingOf(raw), raw, hasText, toolCalls, usage })

  test('is what the finish reason says, with calls where there are some', () => {
    expect(reply('stop', true)).toEqual({ finishReason: 'stop', usage })
    expect(reply('stop', false, [call])).toEqual({
      finishReason: 'tool_calls',
      rawFinishReason: 'stop',
      usage,
      toolCalls: [call],
    })
    expect(reply('tool_calls', true)).toEqual({ finishReason: 'stop', rawFinishReason: 'tool_calls', usage })
    expect(reply('because', true)).toEqual({ finishReason: 'stop', rawFinishReason: 'because', usage })
    expect(reply('SAFETY', false)).toMatchObject({ finishReason: 'content_filter', rawFinishReason: 'SAFETY' })
    expect(reply('MAX_TOKENS', false)).toMatchObject({ finishReason: 'length' })
  })

  test.each([
    ['stop', false],
    ['tool_calls', false],
    ['because', false],
    ['abort', false],
    ['abort', true],
  ])('is no success with %s (with a text: %s)', (raw, hasText) => {
    expect(() => reply(raw, hasText)).toThrow(NoAnswerError)
  })
})
