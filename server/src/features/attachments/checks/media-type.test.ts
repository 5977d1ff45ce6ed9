import { expect, test } from 'vitest'
import { findMismatch, MEDIA_TYPES, plainMediaType, textOf } from './media-type.ts'

const SAMPLES: Readonly<Record<string, Buffer>> = {
  'image/png': Buffer.from('\x89PNG\r\n\x1a\n rest', 'latin1'),
  'image/jpeg': Buffer.from('\xff\xd8\xff\xe0 rest', 'latin1'),
  'image/gif': Buffer.from('GIF89a rest'),
  'image/webp': Buffer.from('RIFF\x10\0\0\0WEBPVP8 ', 'latin1'),
  'text/plain': Buffer.from('Grüezi'),
  'text/markdown': Buffer.from('# Grüezi'),
  'text/csv': Buffer.from('a,b\n1,2\n'),
  'application/json': Buffer.from('{"a":1}'),
  'application/pdf': Buffer.from('%PDF-1.7\n'),
}

test('every type knows its own files', () => {
  expect(Object.keys(SAMPLES)).toEqual([...MEDIA_TYPES])
  for (const [type, bytes] of Object.entries(SAMPLES)) expect([type, findMismatch(type, bytes)]).toEqual([type, null])
})

test('no image and no PDF file passes for another', () => {
  for (const type of MEDIA_TYPES.filter((one) => /^image|pdf$/.test(one))) {
    for (const [other, bytes] of Object.entries(SAMPLES)) {
      if (other !== type) expect([type, other, findMismatch(type, bytes)]).toEqual([type, other, expect.any(String)])
    }
    expect(findMismatch(type, SAMPLES[type]?.subarray(0, 2) as Buffer)).not.toBeNull()
  }
})

test.each([
  ['text/plain', Buffer.from([0x47, 0xfc, 0x65]), 'is not valid UTF-8'],
  ['text/csv', Buffer.from('a\0b'), 'contains a NUL character'],
  ['text/markdown', Buffer.alloc(0), 'is empty'],
])('what is no %s is named', (type, bytes, issue) => {
  expect(findMismatch(type, bytes)).toBe(issue)
})

test('a byte order mark belongs to no text', () => {
  const bytes = Buffer.from('\ufeff{"a":1}')
  expect([findMismatch('application/json', bytes), textOf(bytes)]).toEqual([null, '{"a":1}'])
})

test('parameters and another name of a type do not count', () => {
  expect(['Text/Plain; charset=utf-8', 'image/JPG', ' application/pdf '].map(plainMediaType)).toEqual([
    'text/plain',
    'image/jpeg',
    'application/pdf',
  ])
})
