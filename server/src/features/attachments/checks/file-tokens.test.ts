import { deflateSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { estimateFileTokens } from './file-tokens.ts'
import { measurePdf } from './pdf-size.ts'

const PAGE = '<</Type/Page/Parent 2 0 R>>'
const packed = (dictionary: string, text: string) =>
  Buffer.concat([
    Buffer.from(`9 0 obj<<${dictionary}/Filter/FlateDecode>>stream\r\n`),
    deflateSync(Buffer.from(text)),
    Buffer.from('\nendstream endobj\n'),
  ])
const file = (...parts: (string | Buffer)[]) => Buffer.concat(parts.map((part) => Buffer.from(part)))
const pagesOf = async (...parts: (string | Buffer)[]) => (await measurePdf(file(...parts))).pages

test('tokens are those of the text, of an image, and of the pages', async () => {
  expect(await estimateFileTokens('text/plain', Buffer.from('word '.repeat(1_000)))).toBeGreaterThan(1_000)
  expect(await estimateFileTokens('image/png', Buffer.alloc(5))).toBe(1_600)
  const pages = '<< /Type /Page >> << /Type /Page >> << /Type /Pages /Kids [1 0 R 2 0 R] /Count 2 >>'
  expect(await estimateFileTokens('application/pdf', Buffer.from(pages))).toBe(6_000)
})

test('pages are those that can be seen, those that the tree names, or what the size says', async () => {
  expect(await pagesOf(PAGE, PAGE)).toBe(2)
  expect(await pagesOf('<< /Type/Pages/Kids[]/Count 12>>')).toBe(12)
  expect(await pagesOf('<</Kids [4 0 R 5 0 R 6 0 R]>>', PAGE)).toBe(3)
  expect(await pagesOf(Buffer.alloc(120_000))).toBe(3)
})

test('a file that shows one page does not hide the others', async () => {
  const many = Array.from({ length: 500 }, () => PAGE).join('\n')
  expect(await pagesOf(PAGE, packed('/Type/ObjStm/N 500', many))).toBe(501)
  expect(await pagesOf('<</#54ype/P#61ge>><</Type/Page>>')).toBe(2)
  // The same page in many places, and objects that cannot be looked into.
  expect(await pagesOf(PAGE, '<</Kids[3 0 R 3 0 R]/Count 2/Type/Pages>>')).toBe(100)
  expect(await pagesOf(PAGE, '9 0 obj<</Type/ObjStm/Filter/LZWDecode>>stream\nabc\nendstream')).toBe(100)
  expect(await pagesOf(PAGE, packed('/Type/ObjStm/DecodeParms<</Predictor 12>>', many))).toBe(100)
  expect(await pagesOf(PAGE, '<</Encrypt 8 0 R>>', packed('/Type/ObjStm', many))).toBe(100)
  expect(await pagesOf(PAGE, packed('/Type/ObjStm', ' '.repeat(20_000_000)))).toBe(100)
  expect(await pagesOf(PAGE, packed(`/Type/ObjStm${' '.repeat(5_000)}`, many))).toBe(100)
  expect(await pagesOf(PAGE, packed('/Type/Obj#53tm', many))).toBe(501)
  // A picture, and an encrypted file whose pages stand open are nothing to be afraid of.
  expect(await pagesOf(PAGE, '9 0 obj<</Subtype/Image/Filter/DCTDecode>>stream\nabc\nendstream')).toBe(1)
  expect(await pagesOf(PAGE, '<</Encrypt 8 0 R>>', packed('/Length 9', 'x'))).toBe(1)
})

test('a page with more text than fits on one costs what its text does', async () => {
  const long = packed('/Length 1', `BT (${'word '.repeat(40_000)}) Tj ET`)
  expect(await estimateFileTokens('application/pdf', file(PAGE, long))).toBe(1_600 + 100_000)
  const twice = '<</Type/Page/Contents 9 0 R>>'
  expect(await estimateFileTokens('application/pdf', file(twice, twice, long))).toBe(3_200 + 200_000)
  expect(await estimateFileTokens('application/pdf', file(PAGE, packed('/Length 1', 'BT (short) Tj ET')))).toBe(3_000)
})

test('what is made to be read slowly is not', async () => {
  for (const piece of ['/Kids[', '/Contents ', '/Type ', '(', '<ab', '1 ', '/Type/Pages /Count ', 'stream\n']) {
    const text = piece.repeat(Math.ceil(2_000_000 / piece.length)) + ' '.repeat(1_000_000)
    expect((await measurePdf(Buffer.from(text))).pages).toBeGreaterThan(0)
  }
})
