import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { describeRoom, examineFolder } from './examine-machine.ts'

const GIB = 1024 ** 3

test.each([
  [10 * GIB, 'ok', '10.0 GiB free at /data'],
  [GIB - 1, 'note', 'only 1024.0 MiB free at /data'],
  [1024, 'broken', 'only 1.0 KiB free at /data'],
  [0, 'broken', 'only 0 bytes free at /data'],
])('%d bytes of room', (bytes, state, text) => {
  expect(describeRoom(bytes, '/data')).toEqual({ state, subject: 'disk', text })
})

test('a folder that can be made is as good as one that is there', () => {
  expect(examineFolder(tmpdir())[0]).toMatchObject({ state: 'ok', text: expect.stringContaining('is writable') })
  const missing = join(tmpdir(), 'not-there', 'either')
  expect(examineFolder(missing)[0]).toMatchObject({ state: 'ok', text: expect.stringContaining('can be made') })
})
