import { expect, test } from 'vitest'
import { readRefusal } from './refusals.ts'

const openai = (message: string, more: object = {}) =>
  JSON.stringify({ error: { message, type: 'invalid_request_error', param: null, code: null, ...more } })
const anthropic = (message: string) =>
  JSON.stringify({ type: 'error', error: { type: 'invalid_request_error', message } })
const google = (message: string) => JSON.stringify({ error: { code: 400, message, status: 'INVALID_ARGUMENT' } })

const windows: [provider: string, status: number, body: string, most: number | null, sent: number | null][] = [
  [
    'OpenAI',
    400,
    openai(
      "This model's maximum context length is 128000 tokens. However, your messages resulted in 130217 tokens. Please reduce the length of the messages.",
      { param: 'messages', code: 'context_length_exceeded' },
    ),
    128_000,
    130_217,
  ],
  [
    'OpenRouter',
    400,
    openai(
      "This endpoint's maximum context length is 131072 tokens. However, you requested about 160012 tokens (156012 of text input, 4000 in the output).",
    ),
    131_072,
    160_012,
  ],
  ['OpenAI, the newer ones', 400, openai('Your input exceeds the context window of this model.'), null, null],
  ['Anthropic', 400, anthropic('prompt is too long: 208310 tokens > 200000 maximum'), 200_000, 208_310],
  [
    'Anthropic with a long reply',
    400,
    anthropic('input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease input length'),
    200_000,
    null,
  ],
  [
    'Google',
    400,
    google('The input token count (1048610) exceeds the maximum number of tokens allowed (1048576).'),
    1_048_576,
    1_048_610,
  ],
  [
    'Mistral',
    400,
    JSON.stringify({
      object: 'error',
      message: 'Prompt contains 40123 tokens, too large for model with 32768 maximum context length',
      type: 'invalid_request_prompt',
    }),
    32_768,
    40_123,
  ],
  [
    'Groq',
    400,
    openai('Please reduce the length of the messages or completion.', { code: 'context_length_exceeded' }),
    null,
    null,
  ],
  [
    'Groq by the minute',
    413,
    openai(
      'Request too large for model `llama-3.1-8b-instant` in organization `org_1` on tokens per minute (TPM): Limit 6000, Requested 9123, please reduce your message size and try again.',
      { code: 'rate_limit_exceeded' },
    ),
    6_000,
    9_123,
  ],
  [
    'Cohere',
    400,
    JSON.stringify({
      message: 'too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 5005.',
    }),
    4_081,
    5_005,
  ],
  ['Bedrock', 400, JSON.stringify({ message: 'Input is too long for requested model.' }), null, null],
  [
    'xAI',
    400,
    JSON.stringify({
      code: 'Client specified an invalid argument',
      error: "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
    }),
    131_072,
    537_812,
  ],
  [
    'vLLM',
    400,
    JSON.stringify({
      object: 'error',
      message: 'The decoder prompt (length 5014) is longer than the maximum model length of 4096.',
      type: 'BadRequestError',
      code: 400,
    }),
    4_096,
    5_014,
  ],
  [
    'llama.cpp',
    400,
    JSON.stringify({
      error: {
        code: 400,
        message: 'the request exceeds the available context size, try increasing it',
        type: 'exceed_context_size_error',
        n_prompt_tokens: 5012,
        n_ctx: 4096,
      },
    }),
    4_096,
    5_012,
  ],
  [
    'LM Studio',
    400,
    JSON.stringify({
      error:
        'Trying to keep the first 5037 tokens when context the overflows. However, the model is loaded with context length of only 4096 tokens, which is not enough.',
    }),
    4_096,
    5_037,
  ],
  ['a server that says it with 500', 500, openai('Context size has been exceeded.'), null, null],
  ['nginx', 413, '<html><head><title>413 Request Entity Too Large</title></head></html>', null, null],
]

test.each(windows)('%s says that the window is full', (_, status, body, most, sent) => {
  expect(readRefusal(status, body)).toEqual({ about: 'window', most, sent })
})

const parameters: [what: string, body: string, names: string[], instead: string | null][] = [
  [
    'max_tokens of a reasoning model',
    openai(
      "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
      { param: 'max_tokens', code: 'unsupported_parameter' },
    ),
    ['max_tokens'],
    'max_completion_tokens',
  ],
  [
    'temperature of a reasoning model',
    openai(
      "Unsupported value: 'temperature' does not support 0.2 with this model. Only the default (1) value is supported.",
      { param: 'temperature', code: 'unsupported_value' },
    ),
    ['temperature'],
    null,
  ],
  [
    'both samplings of Claude',
    anthropic('`temperature` and `top_p` cannot both be specified for this model. Please use only one.'),
    ['top_p'],
    null,
  ],
  ['a deprecated one of Claude', anthropic('`temperature` is deprecated for this model.'), ['temperature'], null],
  ['top_k of Claude', anthropic('top_k: Extra inputs are not permitted'), ['top_k'], null],
  [
    'stream_options of an old Azure',
    openai('Unrecognized request argument supplied: stream_options'),
    ['stream_options'],
    null,
  ],
  [
    'what FastAPI forbids',
    JSON.stringify({
      detail: [
        {
          type: 'extra_forbidden',
          loc: ['body', 'parallel_tool_calls'],
          msg: 'Extra inputs are not permitted',
          input: true,
        },
      ],
    }),
    ['parallel_tool_calls'],
    null,
  ],
  ['a penalty of Groq', openai("property 'frequency_penalty' is unsupported"), ['frequency_penalty'], null],
  ['a penalty of xAI', openai('Model grok-4 does not support parameter presencePenalty.'), ['presence_penalty'], null],
  ['stop of xAI', openai("Argument not supported on this model: 'stop'"), ['stop'], null],
  [
    'LiteLLM',
    openai("litellm.UnsupportedParamsError: openai does not support parameters: ['seed'], for model=o3."),
    ['seed'],
    null,
  ],
  ['DeepSeek', openai('This response_format type is unavailable now'), ['response_format'], null],
  [
    'LM Studio',
    JSON.stringify({ error: "'response_format.type' must be 'json_schema' or 'text'" }),
    ['response_format'],
    null,
  ],
  [
    'vLLM without a parser',
    openai('"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set', {
      param: 'tool_choice',
    }),
    ['tool_choice'],
    null,
  ],
]

test.each(parameters)('%s is refused by name', (_, body, names, instead) => {
  expect(readRefusal(400, body)).toEqual({ about: 'parameter', names, instead })
})

test.each([
  [
    'OpenAI',
    openai('max_tokens is too large: 20000. This model supports at most 16384 completion tokens.', {
      param: 'max_tokens',
    }),
    16_384,
  ],
  ['Anthropic', anthropic('max_tokens: 300000 > 64000, which is the maximum allowed number of output tokens'), 64_000],
  [
    'Google',
    google(
      'Unable to submit request because it has a maxOutputTokens value of 100000 but the supported range is from 1 (inclusive) to 8193 (exclusive).',
    ),
    8_192,
  ],
  ['Groq', openai('`max_tokens` must be less than or equal to `8192`, the maximum value for `max_tokens`'), 8_192],
  [
    'Bedrock',
    JSON.stringify({
      message:
        'The maximum tokens you requested exceeds the model limit of 4096. Try again with a maximum tokens value that is lower',
    }),
    4_096,
  ],
])('%s says how long a reply may be', (_, body, most) => {
  expect(readRefusal(400, body)).toEqual({ about: 'reply', most })
})

test.each([
  ['a locked PDF', 400, anthropic('The PDF specified is password protected.'), { about: 'file', kind: 'pdf' }],
  [
    'an image too large',
    400,
    anthropic('messages.0.content.0.image.source.base64: image exceeds 5 MB maximum: 6316852 bytes > 5242880 bytes'),
    { about: 'file', kind: 'image' },
  ],
  ['a broken image', 400, anthropic('Could not process image'), { about: 'file', kind: 'image' }],
  ['an image of Google', 400, google('Unable to process input image. Please retry.'), { about: 'file', kind: 'image' }],
  [
    'a model that cannot see',
    404,
    openai('No endpoints found that support image input'),
    { about: 'file', kind: 'image' },
  ],
  [
    'a server that takes text only',
    400,
    openai('unknown variant `image_url`, expected `text`'),
    { about: 'file', kind: null },
  ],
  [
    'a filter of Azure',
    400,
    openai("The response was filtered due to the prompt triggering Azure OpenAI's content management policy.", {
      code: 'content_filter',
    }),
    { about: 'content' },
  ],
  [
    'a filter of Alibaba',
    400,
    openai('Input data may contain inappropriate content.', { code: 'data_inspection_failed' }),
    { about: 'content' },
  ],
  [
    'a moderation of OpenRouter',
    403,
    openai('meta/x requires moderation on Together. Your input was flagged for "violence"'),
    { about: 'content' },
  ],
  [
    'the order of Mistral',
    400,
    JSON.stringify({
      object: 'error',
      message: "Unexpected role 'user' after role 'tool'",
      type: 'invalid_request_message_order',
      code: '3230',
    }),
    { about: 'order' },
  ],
  [
    'the order of a template',
    400,
    openai('Conversation roles must alternate user/assistant/user/assistant/...'),
    { about: 'order' },
  ],
  ['a template without system', 400, openai('System role not supported'), { about: 'system role' }],
  ['Gemma', 400, google('Developer instruction is not enabled for models/gemma-3-27b-it'), { about: 'system role' }],
  [
    'o1-mini',
    400,
    openai("Unsupported value: 'messages[0].role' does not support 'system' with this model.", {
      param: 'messages[0].role',
      code: 'unsupported_value',
    }),
    { about: 'system role' },
  ],
  [
    'DeepSeek',
    400,
    openai('messages[0].role: unknown variant `developer`, expected one of `system`, `user`, `assistant`, `tool`'),
    { about: 'developer role' },
  ],
  [
    'a schema of OpenAI',
    400,
    openai("Invalid schema for function 'list': object schema missing properties.", {
      param: 'tools[0].function.parameters',
      code: 'invalid_function_parameters',
    }),
    { about: 'schema' },
  ],
  [
    'a schema of Google',
    400,
    google(
      'Invalid JSON payload received. Unknown name "$ref" at \'tools[0].function_declarations[0].parameters\': Cannot find field.',
    ),
    { about: 'schema' },
  ],
  [
    'a schema of Anthropic',
    400,
    anthropic('tools.0.custom.input_schema: input_schema does not support oneOf, allOf, or anyOf at the top level'),
    { about: 'schema' },
  ],
  ['nobody knows what', 400, openai('Provider returned error'), { about: 'something' }],
])('%s is told apart', (_, status, body, refusal) => {
  expect(readRefusal(status, body)).toEqual(refusal)
})

test.each([
  ['a wrong key', 401, openai('Incorrect API key provided')],
  ['a model that is not there', 404, openai('The model `gpt-9` does not exist')],
  ['too many requests', 429, openai('Rate limit reached for requests')],
  ['a forbidden country', 403, openai('Country, region, or territory not supported')],
  ['a broken server', 500, openai('The server had an error while processing your request')],
])('%s refuses nothing of the request', (_, status, body) => {
  expect(readRefusal(status, body)).toBeNull()
})
