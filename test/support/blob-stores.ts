import { describe, expect, test } from 'vitest'
import type { BlobStore } from '../../server/src/blobs/blob-store.ts'

/** What every store must do. `open` gives the same place each time it is called. */
export function describeStore(title: string, open: () => BlobStore): void {
  const metadata = { contentType: 'application/gzip' }
  const bytes = (text: string) => Buffer.from(text)
  const textOf = async (key: string) => {
    const found = await open().get(key)
    return found === null ? null : Buffer.from(found).toString('utf8')
  }

  describe(title, () => {
    test('gives back what was put, byte for byte', async () => {
      const every = Uint8Array.from({ length: 100_000 }, (_, i) => (i * 31) % 256)
      await open().put('a/bytes.bin', every, metadata)
      expect(Buffer.from((await open().get('a/bytes.bin')) ?? []).equals(every)).toBe(true)
      expect(await open().exists('a/bytes.bin')).toBe(true)
    })

    test('puts an empty blob, and another one in the place of the first', async () => {
      await open().put('a/again', bytes(''), metadata)
      expect(await textOf('a/again')).toBe('')
      await open().put('a/again', bytes('second'), metadata)
      expect(await textOf('a/again')).toBe('second')
    })

    test('says that there is none, and removes it twice', async () => {
      expect([await open().get('a/none'), await open().exists('a/none')]).toEqual([null, false])
      await open().put('a/gone', bytes('x'), metadata)
      await open().delete('a/gone')
      await open().delete('a/gone')
      expect(await textOf('a/gone')).toBeNull()
    })

    test('removes what begins with a prefix and nothing else', async () => {
      const inside = Array.from({ length: 7 }, (_, i) => `p/one/${i}/x.y-z_${i}`)
      for (const key of [...inside, 'p/one-more', 'p/onemore/1']) await open().put(key, bytes(key), metadata)
      await open().deletePrefix('p/one/')
      await open().deletePrefix('p/never/')
      expect(await Promise.all(inside.map(textOf))).toEqual(inside.map(() => null))
      expect([await textOf('p/one-more'), await textOf('p/onemore/1')]).toEqual(['p/one-more', 'p/onemore/1'])
    })

    test('takes many at once', async () => {
      const keys = Array.from({ length: 20 }, (_, i) => `many/${i}`)
      await Promise.all(keys.map((key) => open().put(key, bytes(key), metadata)))
      expect(await Promise.all(keys.map(textOf))).toEqual(keys)
    })

    test('refuses keys that could mean something else', async () => {
      for (const key of ['', '/a', 'a/', 'a//b', '../a', 'a/../b', '.', 'a b', 'a%2fb', 'ä', 'a?b', 'a\\b', 'a\0b']) {
        await expect(open().get(key), key).rejects.toMatchObject({ name: 'BlobError' })
      }
      for (const prefix of ['', '/', 'a', '../']) {
        await expect(open().deletePrefix(prefix), prefix).rejects.toMatchObject({ name: 'BlobError' })
      }
    })
  })
}
