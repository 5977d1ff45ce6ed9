import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { expect, test } from 'vitest'
import { INSIDE, MAY_ENTER } from '../../scripts/rooms.ts'

const SOURCE = join(import.meta.dirname, '../../server/src')

const CALLERS = ['turns', 'model-list']

/** The vocabulary of models, which everybody may use; calling them is the business of turns. */
const MODEL_WORDS = [
  'models/ai-systems.ts',
  'models/model-file.ts',
  'models/settings.ts',
  'models/thinking/thoughts.ts',
  'models/tool-call.ts',
]

/** Files of a folder's own, tests included, and lines of a file; the lists are as long as what they list. */
const MOST_FILES = 22
const MOST_LINES = 320
const LISTS = ['storage/migrations/0001-initial.ts', 'storage/schema.ts']

type Import = { from: string; to: string }

function sourceFiles(): string[] {
  return readdirSync(SOURCE, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'))
}

function importsOf(file: string): Import[] {
  const text = readFileSync(join(SOURCE, file), 'utf8')
  return [...text.matchAll(/(?:from|import|new URL)\s*\(?\s*'(\.[^']+)'/g)].map((match) => ({
    from: file,
    to: relative(SOURCE, join(SOURCE, dirname(file), match[1] as string)),
  }))
}

function roomOf(file: string): string {
  const [first, second] = file.split('/')
  return first === 'features' ? (second as string) : (first as string).replace(/\.[jt]s$/, '')
}

/** The room of a file in a folder; a file that stands in it is one by itself. */
function innerRoomOf(folder: string, file: string): string {
  return (file.slice(folder.length + 1).split('/')[0] as string).replace(/\.ts$/, '')
}

/** Rooms that lead back to the first of them, if there are any. */
function findCircle(leadsTo: ReadonlyMap<string, ReadonlySet<string>>): string[] | null {
  const harmless = new Set<string>()
  function visit(room: string, path: readonly string[]): string[] | null {
    if (path.includes(room)) return [...path.slice(path.indexOf(room)), room]
    if (harmless.has(room)) return null
    for (const next of leadsTo.get(room) ?? []) {
      const circle = visit(next, [...path, room])
      if (circle) return circle
    }
    harmless.add(room)
    return null
  }
  for (const room of leadsTo.keys()) {
    const circle = visit(room, [])
    if (circle) return circle
  }
  return null
}

const files = sourceFiles().filter((file) => !file.endsWith('.test.ts'))
const imports = files.flatMap(importsOf)

test('the imports are found', () => {
  expect(files.length).toBeGreaterThan(60)
  expect(imports.length).toBeGreaterThan(200)
})

test('every room is known', () => {
  expect([...new Set(files.map(roomOf))].filter((room) => !(room in MAY_ENTER))).toEqual([])
})

test('imports point one way', () => {
  const wrong = imports.filter(({ from, to }) => {
    const [here, there] = [roomOf(from), roomOf(to)]
    return here !== there && !MAY_ENTER[here]?.includes(there)
  })
  expect(wrong).toEqual([])
})

test('every room within a room has its place', () => {
  const unknown = files.flatMap((file) => {
    const folder = Object.keys(INSIDE).find((name) => file.startsWith(`${name}/`))
    const inner = folder && innerRoomOf(folder, file)
    return inner && file !== `${folder}/${inner}.ts` && !INSIDE[folder]?.includes(inner) ? [file] : []
  })
  expect(unknown).toEqual([])
})

test.each(Object.entries(INSIDE))('the rooms within %s are entered in their order', (folder, order) => {
  const place = (file: string) => (file.startsWith(`${folder}/`) ? order.indexOf(innerRoomOf(folder, file)) : -1)
  const known = imports.filter(({ from, to }) => place(from) >= 0 && place(to) >= 0)
  expect(known.length).toBeGreaterThan(0)
  expect(known.filter(({ from, to }) => place(to) > place(from))).toEqual([])
})

/** By the room and not by the file, so that a file without a place of its own cannot lead around the order. */
test.each(Object.keys(INSIDE))('no rooms within %s need each other', (folder) => {
  const leadsTo = new Map<string, Set<string>>()
  for (const { from, to } of imports) {
    if (!from.startsWith(`${folder}/`) || !to.startsWith(`${folder}/`)) continue
    const [here, there] = [innerRoomOf(folder, from), innerRoomOf(folder, to)]
    if (here !== there) leadsTo.set(here, (leadsTo.get(here) ?? new Set()).add(there))
  }
  expect(findCircle(leadsTo)).toBeNull()
})

test('no folder is crowded, and no file is long', () => {
  const folders = Map.groupBy(sourceFiles(), dirname)
  expect([...folders].filter(([, inside]) => inside.length > MOST_FILES).map(([folder]) => folder)).toEqual([])
  const lengths = files.map((file) => [file, readFileSync(join(SOURCE, file), 'utf8').split('\n').length] as const)
  expect(lengths.filter(([file, lines]) => lines > MOST_LINES && !LISTS.includes(file))).toEqual([])
})

test('a feature calls the service of another, never its queries', () => {
  const wrong = imports.filter(({ from, to }) => /-queries\.ts$/.test(to) && roomOf(from) !== roomOf(to))
  expect(wrong).toEqual([])
})

test('only queries build SQL', () => {
  const wrong = imports.filter(
    ({ from, to }) => from.startsWith('features/') && to === 'storage/prepare.ts' && !from.endsWith('-queries.ts'),
  )
  expect(wrong).toEqual([])
})

test('only turns call models, and only their list names them', () => {
  const wrong = imports.filter(
    ({ from, to }) =>
      from.startsWith('features/') &&
      roomOf(to) === 'models' &&
      !CALLERS.includes(roomOf(from)) &&
      !MODEL_WORDS.includes(to),
  )
  expect(wrong).toEqual([])
})

test('only the configuration reads the environment', () => {
  const readers = files.filter((file) => /process\.env/.test(readFileSync(join(SOURCE, file), 'utf8')))
  expect(readers.filter((file) => file !== 'main.ts' && !file.startsWith('cli'))).toEqual([])
})
