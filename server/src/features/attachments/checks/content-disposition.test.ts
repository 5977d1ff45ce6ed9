import fc from 'fast-check'
import { expect, test } from 'vitest'
import { contentDisposition } from '../attachment-routes.ts'

test.each([
  ['report.pdf', `attachment; filename="report.pdf"; filename*=UTF-8''report.pdf`],
  ['Größe.pdf', `attachment; filename="Gr__e.pdf"; filename*=UTF-8''Gr%C3%B6%C3%9Fe.pdf`],
  ['photo\u202egnp.exe', `attachment; filename="photognp.exe"; filename*=UTF-8''photognp.exe`],
  ['../../.ssh\\keys', `attachment; filename=".._.._.ssh_keys"; filename*=UTF-8''.._.._.ssh_keys`],
  ['a"\r\nset-cookie: x=1', `attachment; filename="a_ set-cookie: x=1"; filename*=UTF-8''a%22%20set-cookie%3A%20x%3D1`],
])('%j', (name, header) => {
  expect(contentDisposition(name)).toBe(header)
})

test('whatever the name, it is one header with one name in two spellings', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (name) => {
      expect(contentDisposition(name)).toMatch(
        /^attachment; filename="[ !#$&-[\]-~]*"; filename\*=UTF-8''(?:[\w.!#$&+^`|~-]|%[0-9A-F]{2})*$/,
      )
    }),
  )
})
