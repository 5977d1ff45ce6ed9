import { readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { drawArchitecture } from '../../scripts/draw-architecture.ts'
import { BASE, FEATURES, INSIDE, MECHANISMS, TOP } from '../../scripts/rooms.ts'
import { blocksOf, ROOT, rowsOf, section, textOf } from '../support/pages.ts'

const PAGE = textOf('ARCHITECTURE.md')
const SOURCES = readdirSync(join(ROOT, 'server/src'), { recursive: true, encoding: 'utf8' }).filter((file) =>
  /(?<!\.test)\.[jt]s$/.test(file),
)
/** A folder of `server/src` as the tables name it, and the files that its row names. */
const ROWS = rowsOf(section(PAGE, '## What stands where')).map(([folder = '', files = '']) => ({
  folder: folder.replaceAll('`', '').replace(/\/$/, ''),
  files: wordsIn(files),
}))

/** What stands in backticks. */
function wordsIn(text: string): string[] {
  return [...text.matchAll(/`([^`]+)`/g)].map(([, word]) => word as string)
}

test('the picture is drawn from the order of the rooms, and has all of them', () => {
  const picture = textOf('docs/architecture.svg')
  expect(picture, 'npm run picture draws it again').toBe(drawArchitecture())
  const rooms = [...TOP, ...FEATURES, ...MECHANISMS, ...BASE, ...Object.values(INSIDE).flat()]
  const words = new Set(picture.match(/[\w-]+/g))
  expect(rooms.filter((room) => !words.has(room))).toEqual([])
  expect(picture).toContain('prefers-color-scheme: dark')
})

test('the picture in text has the rooms in their order', () => {
  const [picture = ''] = blocksOf(section(PAGE, '## The rooms'), 'text')
  const words = picture.match(/[\w-]+/g) ?? []
  for (const rooms of [TOP, FEATURES, MECHANISMS, BASE]) {
    expect(words.filter((word) => rooms.includes(word))).toEqual(rooms)
  }
})

test('every folder with two files or more has a row', () => {
  const folders = Map.groupBy(SOURCES, (file) => dirname(file).replace(/^\.$/, 'server/src'))
  expect(folders.size).toBeGreaterThan(40)
  const named = new Set(ROWS.map(({ folder }) => folder))
  const many = [...folders].filter(([, files]) => files.length > 1).map(([folder]) => folder)
  expect(many.filter((folder) => !named.has(folder))).toEqual([])
})

test('every file of a row is there', () => {
  expect(ROWS.flatMap(({ files }) => files).length).toBeGreaterThan(200)
  const missing = ROWS.flatMap(({ folder, files }) => {
    const at = folder === 'server/src' ? '' : `${folder}/`
    return files.filter((file) => !SOURCES.some((one) => one === `${at}${file}.ts` || one === `${at}${file}.js`))
  })
  expect(missing).toEqual([])
})

/** Whole paths are below the root, the others below `server/src` or below the room of turns. */
test('every file that the text names is there', () => {
  const everything = ['server', 'scripts', 'test', 'docs', 'bench'].flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' }).map((file) => `${folder}/${file}`),
  )
  const named = [...PAGE.matchAll(/(?<![\w./-])([\w./-]+\.ts)\b/g)].map(([, file]) => file as string)
  expect(named.length).toBeGreaterThan(15)
  const isThere = (file: string) => everything.some((one) => one === file || one.endsWith(`/${file}`))
  expect([...new Set(named)].filter((file) => !isThere(file))).toEqual([])
})
