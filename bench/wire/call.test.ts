import { expect, test } from 'vitest'
import { createPrinter } from './call.ts'

test('a call with places is filled, and its length is that of the filled body', () => {
  const print = createPrinter({
    method: 'PATCH',
    path: '/conversations/{id}/chat',
    headers: { 'x-key': '{key}' },
    body: '{"id":"{id}","message":"{message}"}',
  })
  expect(String(print('c1', 'k1', 'm1'))).toBe(
    [
      'PATCH /conversations/c1/chat HTTP/1.1',
      'host: 127.0.0.1',
      'x-key: k1',
      'content-type: application/json',
      'content-length: 26',
      '',
      '{"id":"c1","message":"m1"}',
    ].join('\r\n'),
  )
})

test('a call without places is the same bytes each time', () => {
  const print = createPrinter({ method: 'GET', path: '/healthz' })
  expect(print('a', 'b')).toBe(print('c', 'd'))
  expect(String(print('a', 'b'))).toBe('GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n')
})

test('what is not ASCII is refused: its length would be wrong', () => {
  expect(() => createPrinter({ method: 'POST', path: '/', body: 'ü' })).toThrow('ASCII')
})
