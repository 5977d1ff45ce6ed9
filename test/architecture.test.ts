import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { expect, test } from 'vitest'

const SOURCE = join(import.meta.dirname, '../server/src')

/** Which rooms each room may enter, besides itself. The order of the features is that of DESIGN: none reaches back. */
const MECHANISMS = ['http', 'net', 'storage', 'models', 'blobs', 'schema-checks']
const BASE = ['lib', 'errors']
const FEATURES = [
  'idempotency',
  'organizations',
  'api-keys',
  'secrets',
  'tools',
  'personas',
  'feedback',
  'unclaimed-blobs',
  'attachments',
  'conversations',
  'turns',
  'archive',
  'privacy',
]
const TOP = [
  'main',
  'serve',
  'listen-error',
  'cli',
  'app',
  'bootstrap',
  'banner',
  'config',
  'config-readers',
  'config-variables',
  'config-error',
  'environment',
  'compile-cache',
  'known-secrets',
  'exposed-files',
]

const MAY_ENTER: Record<string, string[]> = {
  lib: [],
  errors: ['lib'],
  ...Object.fromEntries(MECHANISMS.map((room) => [room, BASE])),
  models: [...BASE, 'net'],
  ...Object.fromEntries(FEATURES.map((room, i) => [room, [...BASE, ...MECHANISMS, ...FEATURES.slice(0, i)]])),
  config: [
    ...BASE,
    'http',
    'models',
    'storage',
    'blobs',
    'config-readers',
    'config-variables',
    'config-error',
    'environment',
  ],
  environment: ['models', 'config-variables', 'config-error'],
  'config-error': [],
  'config-readers': [...BASE, 'models', 'storage'],
  'config-variables': [],
  ...Object.fromEntries(
    TOP.filter((room) => !room.startsWith('config') && room !== 'environment').map((room) => [
      room,
      [...BASE, ...MECHANISMS, ...FEATURES, ...TOP],
    ]),
  ),
}

/** The vocabulary of models, which everybody may use; calling them is the business of turns. */
const MODEL_WORDS = ['models/ai-systems.ts', 'models/model-file.ts', 'models/settings.ts', 'models/tool-call.ts']

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

test('only turns call models', () => {
  const wrong = imports.filter(
    ({ from, to }) =>
      from.startsWith('features/') && roomOf(to) === 'models' && roomOf(from) !== 'turns' && !MODEL_WORDS.includes(to),
  )
  expect(wrong).toEqual([])
})

test('only the configuration reads the environment', () => {
  const readers = files.filter((file) => /process\.env/.test(readFileSync(join(SOURCE, file), 'utf8')))
  expect(readers.filter((file) => file !== 'main.ts' && !file.startsWith('cli'))).toEqual([])
})
