import { expect, test } from 'vitest'
import { toChatHistory } from './chat-history.ts'

test('a conversation ends with the reply that is to come', () => {
  const messages = [
    { role: 'user', content: 'Hi' },
    { role: 'assistant', content: 'Hello' },
    { role: 'user', content: 'One' },
    { role: 'user', content: 'Two' },
  ] as const
  expect(toChatHistory({ system: 'Be brief.', messages: [...messages] })).toEqual([
    { type: 'system', text: 'Be brief.' },
    { type: 'user', text: 'Hi' },
    { type: 'model', response: ['Hello'] },
    { type: 'user', text: 'One\n\nTwo' },
    { type: 'model', response: [] },
  ])
})

test('calls of tools stand where they were made, with their results', () => {
  const call = (id: string, city: string) => ({ id, name: 'weather', input: { city } })
  const history = toChatHistory({
    system: null,
    messages: [
      { role: 'user', content: 'Where is it warm?' },
      { role: 'assistant', content: 'I look.', toolCalls: [call('1', 'Rome'), call('2', 'Oslo')] },
      { role: 'tool', content: '30', toolCallId: '1', name: 'weather' },
      { role: 'tool', content: '3', toolCallId: '2', name: 'weather' },
    ],
  })
  const done = (city: string, result: string) => ({ type: 'functionCall', name: 'weather', params: { city }, result })
  expect(history.at(-1)).toEqual({ type: 'model', response: ['I look.', done('Rome', '30'), done('Oslo', '3')] })
})
