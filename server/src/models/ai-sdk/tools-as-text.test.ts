import { expect, test } from 'vitest'
import { toolsAsText } from './tools-as-text.ts'

test('calls and results are told, in turn, and what was said stays', () => {
  const told = toolsAsText([
    { role: 'user', content: 'Which number?' },
    {
      role: 'assistant',
      content: 'I look.',
      toolCalls: [
        { id: '1', name: 'get', input: { at: 1 } },
        { id: '2', name: 'get', input: {} },
      ],
    },
    { role: 'tool', content: '4711', toolCallId: '1', name: 'get' },
    { role: 'tool', content: '4712', toolCallId: '2', name: 'get' },
    { role: 'user', content: 'Well?' },
  ])
  expect(told).toEqual([
    { role: 'user', content: 'Which number?' },
    { role: 'assistant', content: 'I look.\n(Called get with {"at":1}.)\n(Called get with {}.)' },
    { role: 'user', content: 'Result of get:\n4711\n\nResult of get:\n4712\n\nWell?' },
  ])
})
