import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { SERVER_VARIABLES } from '../../server/src/config/config-variables.ts'
import { SECRET_VARIABLES } from '../../server/src/config/environment.ts'
import { STATUS_OF_CODE } from '../../server/src/errors.ts'
import { HEADERS_AFTER_MS } from '../../server/src/features/turns/routes/reply-stream.ts'
import { PING_AFTER_MS } from '../../server/src/http/answers/sse.ts'
import { SCOPES } from '../../server/src/http/requests/caller.ts'
import { AI_SYSTEM_FACTS, AI_SYSTEMS } from '../../server/src/models/ai-systems.ts'
import { DEFAULT_ORDER } from '../../server/src/models/providers/default-system.ts'
import { PROVIDER_VARIABLES } from '../../server/src/models/providers/provider-variables.ts'
import { type RunningApp, startApp } from '../support/app.ts'
import { databaseKinds } from '../support/databases.ts'
import { calledIn, mentionedIn, PAGES, ROOT, rowsOf, section, textOf } from '../support/pages.ts'

const CONTRACT = textOf('docs/contract.md')

test('the table of variables is that of the code', () => {
  const expected = [
    ...SERVER_VARIABLES.map(({ name, default: fallback, meaning }) => [`\`${name}\``, fallback, meaning]),
    ...PROVIDER_VARIABLES.map(({ name, aiSystem, default: fallback, meaning }) => [
      `\`${name}\``,
      fallback ?? 'none',
      `${aiSystem === null ? '' : `\`${aiSystem}\`: `}${meaning}.`,
    ]),
  ]
  expect(rowsOf(textOf('docs/configuration.md'))).toEqual(expected)
})

test('every variable that a page names is one', () => {
  const variables = [...SERVER_VARIABLES, ...PROVIDER_VARIABLES].map(({ name }) => name as string)
  const known = new Set([...variables, ...SECRET_VARIABLES.map((name) => `${name}_FILE`)])
  const named = PAGES.flatMap((page) =>
    [...textOf(page).matchAll(/\b(?:DRAMATIS_[A-Z_]+|[A-Z]+_API_KEY|AWS_[A-Z_]+|OLLAMA_[A-Z_]+)\b/g)].map(
      ([name]) => name,
    ),
  )
  expect(named.length).toBeGreaterThan(50)
  expect([...new Set(named)].filter((name) => !known.has(name))).toEqual([])
})

describe('the contract', () => {
  test('has every code and its status', () => {
    const rows = rowsOf(section(CONTRACT, '## 3. Requests and errors')).filter(([status]) => /^\d+$/.test(status ?? ''))
    expect(rows.map(([status, code]) => [Number(status), code])).toEqual(
      Object.entries(STATUS_OF_CODE).map(([code, status]) => [status, `\`${code}\``]),
    )
  })

  test('has every scope', () => {
    const rows = rowsOf(section(CONTRACT, '## 2. Keys and scopes')).filter(([scope]) => scope?.includes(':'))
    expect(rows.map(([scope]) => scope)).toEqual(SCOPES.map((scope) => `\`${scope}\``))
  })

  test('names every AI system', () => {
    const text = section(CONTRACT, '### `aiSystem`')
    expect(AI_SYSTEMS.filter((name) => !text.includes(`\`${name}\``))).toEqual([])
  })

  test('has the times of streams', () => {
    const text = section(CONTRACT, '## 7. Streams')
    expect(text).toContain(`after ${HEADERS_AFTER_MS / 1_000} seconds without one`)
    expect(text).toContain(`After ${PING_AFTER_MS / 1_000} seconds of silence`)
  })

  test('has the fields of a conversation and a message', () => {
    const fields = rowsOf(section(CONTRACT, '## 5. Conversations'))
      .filter(([cell]) => cell?.startsWith('`') && !cell.includes(' /'))
      .flatMap(([cell]) => [...(cell ?? '').matchAll(/`(\w+)`/g)].map(([, name]) => name))
    expect(fields).toEqual(CONVERSATION_FIELDS)
  })
})

const CONVERSATION_FIELDS = [
  ...['conversationId', 'aiSystem', 'model', 'personaId', 'personaVersionId', 'conversationStatus'],
  ...['conversationName', 'chatMessages', 'chatMessagesCount', 'chatStarted', 'areChatMessagesInBlob'],
  ...['chatMessagesBlobUri', 'configuration', 'metadata', 'externalUserId', 'isActive', 'isDeleted'],
  ...['promptTokens', 'completionTokens', 'totalTokens'],
]

test('the page on models names what each AI system needs and has by default', () => {
  const rows = rowsOf(section(textOf('docs/models.md'), '## Providers'))
  const names = rows.map(([name]) => name?.replaceAll('`', ''))
  expect(names.toSorted()).toEqual(AI_SYSTEMS.filter((name) => name !== 'default').toSorted())
  for (const [name, needs = '', model = ''] of rows) {
    const facts = AI_SYSTEM_FACTS[name?.replaceAll('`', '') as keyof typeof AI_SYSTEM_FACTS]
    const named = [...needs.matchAll(/`([A-Z_]+)`/g)].map(([, variable]) => variable)
    const expected = facts.needs.flat()
    if (expected.length > 0) expect([name, named.toSorted()]).toEqual([name, [...new Set(expected)].toSorted()])
    if (facts.defaultModel !== null) expect([name, model]).toEqual([name, expect.stringContaining(facts.defaultModel)])
  }
})

test('the page on models has the order in which the default is looked for', () => {
  const [, named = ''] =
    /the first of ([^;]*?) that is configured/.exec(section(textOf('docs/models.md'), '## What `default` means')) ?? []
  expect([...named.matchAll(/`([^`]+)`/g)].map(([, name]) => name)).toEqual(DEFAULT_ORDER.map(({ name }) => name))
})

test('the recipe for a provider names files that are there', () => {
  const recipe = section(textOf('docs/models.md'), '## Adding a provider')
  const folder = /`(server\/src\/[^`]+\/)`/.exec(recipe)?.[1] ?? ''
  const files = [...recipe.matchAll(/`([a-z-]+(?:\.test)?\.ts)`/g)].map(([, file]) =>
    join(ROOT, folder, file as string),
  )
  expect(files.length).toBeGreaterThan(3)
  expect(files.filter((file) => !existsSync(file))).toEqual([])
})

test('every relative link leads somewhere', () => {
  const broken = PAGES.flatMap((page) => {
    const links = [...textOf(page).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target as string)
    return links
      .filter((target) => !/^[a-z]+:/.test(target) && !leadsSomewhere(page, target))
      .map((to) => `${page}: ${to}`)
  })
  expect(broken).toEqual([])
})

function leadsSomewhere(page: string, target: string): boolean {
  const [path = '', anchor] = target.split('#')
  const file = path === '' ? join(ROOT, page) : join(ROOT, dirname(page), path)
  if (!existsSync(file)) return false
  return anchor === undefined || anchorsOf(readFileSync(file, 'utf8')).includes(anchor)
}

/** The anchors that headings get where Markdown is shown. */
function anchorsOf(text: string): string[] {
  return [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
    (heading as string)
      .toLowerCase()
      .replaceAll(/[^\w\s-]/g, '')
      .replaceAll(' ', '-'),
  )
}

test('every page can be reached from the README', () => {
  const reached = new Set(['README.md'])
  for (const page of reached) {
    for (const [, target] of textOf(page).matchAll(/\]\(([^)\s#]+)[^)]*\)/g)) {
      if (/^[a-z]+:/.test(target as string)) continue
      const at = relative(ROOT, join(ROOT, dirname(page), target as string))
      for (const other of PAGES) if (other === at || dirname(other) === at) reached.add(other)
    }
  }
  expect(PAGES.filter((page) => !reached.has(page))).toEqual([])
})

test('the files that pages name exist', () => {
  const named = PAGES.flatMap((page) =>
    [...textOf(page).matchAll(/(?<![\w./-])(?:server\/src|test|docs|scripts)\/[\w./-]*/g)].map(
      ([file]) => `${page}: ${file}`,
    ),
  )
  expect(named.length).toBeGreaterThan(10)
  expect(named.filter((one) => !existsSync(join(ROOT, one.split(': ')[1] as string)))).toEqual([])
})

test('the scripts that pages name exist', () => {
  const { scripts } = JSON.parse(textOf('package.json')) as { scripts: Record<string, string> }
  const named = PAGES.flatMap((page) =>
    [...textOf(page).matchAll(/\bnpm run\s+([a-z][\w:]*)/g)].map(([, script]) => `${page}: ${script}`),
  )
  expect(named.length).toBeGreaterThan(10)
  expect(named.filter((one) => !((one.split(': ')[1] as string) in scripts))).toEqual([])
})

test('the changelog has the version of the packages, the newest first', () => {
  const { version } = JSON.parse(textOf('server/package.json')) as { version: string }
  const headings = [...textOf('CHANGELOG.md').matchAll(/^## (.*)$/gm)].map(([, heading]) => heading)
  expect(headings[0]).toBe('[Unreleased]')
  expect(headings[1]).toMatch(new RegExp(`^\\[${version.replaceAll('.', '\\.')}\\] - \\d{4}-\\d{2}-\\d{2}$`))
  const kinds = [...textOf('CHANGELOG.md').matchAll(/^### (.*)$/gm)].map(([, kind]) => kind)
  const known = ['Added', 'Changed', 'Deprecated', 'Removed', 'Fixed', 'Security']
  expect(kinds.filter((kind) => !known.includes(kind as string))).toEqual([])
})

test('decisions are numbered without gaps and have their three parts', () => {
  const files = PAGES.filter((page) => page.startsWith('docs/decisions/')).toSorted()
  expect(files.map((file) => Number(/\/(\d{4})-/.exec(file)?.[1]))).toEqual(files.map((_, i) => i + 1))
  for (const file of files) {
    const headings = [...textOf(file).matchAll(/^## (.*)$/gm)].map(([, heading]) => heading)
    expect([file, ...headings]).toEqual([file, 'Context', 'Decision', 'Consequences'])
  }
})

test("no page has leftovers, or the paths of somebody's machine", () => {
  const words = /\b(TODO|FIXME|TBD)\b|\u2014|\/tmp\/|\/home\/|\/work\//
  expect(PAGES.filter((page) => words.test(textOf(page)))).toEqual([])
})

describe('endpoints', () => {
  let server: RunningApp
  let endpoints: { method: string; path: string; pattern: RegExp }[]

  beforeAll(async () => {
    const [sqlite] = databaseKinds
    if (!sqlite) throw new Error('there is no database')
    server = await startApp(sqlite)
    const { body } = await server.call<{ paths: Record<string, object> }>('GET', '/openapi.json')
    endpoints = Object.entries(body.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => ({
        method: method.toUpperCase(),
        path,
        pattern: new RegExp(`^${path.replaceAll(/\{\w+\}/g, '[^/]+')}$`),
      })),
    )
  })
  afterAll(() => server.close())

  const NOT_YET = '## 12. Not yet'
  test('are all in the contract', () => {
    expect(endpoints.length).toBeGreaterThan(30)
    const mentioned = new Set(mentionedIn(CONTRACT).map(({ method, path }) => `${method} ${path}`))
    expect(endpoints.map(({ method, path }) => `${method} ${path}`).filter((one) => !mentioned.has(one))).toEqual([])
  })

  test('exist where a page mentions them', () => {
    const called = PAGES.flatMap((page) => {
      const text = textOf(page).replace(section(CONTRACT, NOT_YET), '')
      return [...mentionedIn(text), ...calledIn(text)].map((one) => ({ page, ...one }))
    })
    expect(called.length).toBeGreaterThan(60)
    const unknown = called.filter(
      ({ method, path }) => !endpoints.some((one) => one.method === method && one.pattern.test(path)),
    )
    expect(unknown).toEqual([])
  })

  test('do not exist where the contract says so', async () => {
    const missing = mentionedIn(section(CONTRACT, NOT_YET))
    expect(missing.length).toBeGreaterThan(10)
    for (const { method, path } of missing) {
      const id = '01a208a9-a60c-7001-aeff-5d491e597ef9'
      const answer = await server.call(method, path.replaceAll(/\{\w+\}/g, id), method === 'GET' ? undefined : {})
      expect([method, path, answer.status, answer.text]).toEqual([
        method,
        path,
        404,
        expect.stringContaining('there is no '),
      ])
      expect(answer.text).toContain(`there is no ${method} `)
    }
  })

  test('need no key where the contract says so, and one elsewhere', async () => {
    for (const path of ['/healthz', '/readyz', '/openapi.json', '/docs']) {
      expect([path, (await fetch(server.url + path)).status]).toEqual([path, 200])
    }
    for (const path of ['/metrics', '/models', '/personas', '/nothing']) {
      expect([path, (await fetch(server.url + path)).status]).toEqual([path, 401])
    }
  })

  test('show a conversation with the fields of the contract', async () => {
    const { body } = await server.call('POST', '/conversations', {
      aiSystem: 'rehearsal',
      model: 'rehearsal',
      message: 'Hi',
    })
    expect(Object.keys(body)).toEqual(CONVERSATION_FIELDS)
    const message = (body['chatMessages'] as object[])[0] ?? {}
    const text = section(CONTRACT, '## 5. Conversations').replaceAll(/\s+/g, ' ')
    const named = /has exactly eleven fields: (.*?)\. Where/.exec(text)?.[1] ?? ''
    const fields = [...named.replaceAll(/\([^)]*\)/g, '').matchAll(/`(\w+)`/g)].map(([, name]) => name)
    expect(fields).toEqual(Object.keys(message))
  })
})
