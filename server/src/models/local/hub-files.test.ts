import { describe, expect, test } from 'vitest'
import { chooseFiles, readTree, tagsOf } from './hub-files.ts'

const entry = (path: string, oid = 'a'.repeat(64)) => ({ type: 'file', path, size: 5, lfs: { oid, size: 5 } })
const treeOf = (...paths: string[]) => readTree(paths.map((path) => entry(path)))
const chosen = (paths: string[], tag: string | null) => chooseFiles(treeOf(...paths), tag).map(({ path }) => path)

test('of a tree only models with a checksum and a plain path are taken', () => {
  const tree = [
    entry('m-Q4_K_M.gguf'),
    entry('mmproj-F16.gguf'),
    entry('README.md'),
    entry('../m.gguf'),
    entry('a/../../m.gguf'),
    entry('short.gguf', 'abc'),
    { type: 'file', path: 'small.gguf', size: 5 },
    'nonsense',
  ]
  expect(readTree(tree)).toEqual([{ path: 'm-Q4_K_M.gguf', bytes: 5, sha256: 'a'.repeat(64) }])
  expect(readTree({ error: 'no' })).toEqual([])
})

const ALL = ['m-Q8_0.gguf', 'm-Q4_K_M.gguf', 'm-Q4_K.gguf', 'm-IQ2_XS.gguf', 'sub/other.F16.gguf']

describe('the choice', () => {
  test.each([
    [null, ['m-Q4_K_M.gguf']],
    ['q8_0', ['m-Q8_0.gguf']],
    ['Q4_K', ['m-Q4_K.gguf']],
    ['F16', ['sub/other.F16.gguf']],
    ['m-iq2_xs.gguf', ['m-IQ2_XS.gguf']],
    ['Q5_K_M', []],
  ])('of %s', (tag, expected) => {
    expect(chosen(ALL, tag)).toEqual(expected)
  })

  test('without the usual one is the first', () => {
    expect(chosen(['z-Q8_0.gguf', 'b-Q5_0.gguf'], null)).toEqual(['b-Q5_0.gguf'])
  })

  test('is all parts of one that is split, or nothing', () => {
    const parts = ['q/m-Q4_K_M-00002-of-00002.gguf', 'q/m-Q4_K_M-00001-of-00002.gguf']
    expect(chosen(parts, 'Q4_K_M')).toEqual(parts.toReversed())
    expect(chosen(parts.slice(1), 'Q4_K_M')).toEqual([])
  })
})

test('the quantizations that there are can be named', () => {
  expect(tagsOf(treeOf(...ALL))).toEqual(['F16', 'IQ2_XS', 'Q4_K', 'Q4_K_M', 'Q8_0'])
})
