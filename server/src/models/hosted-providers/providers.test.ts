import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parseAiSystem } from '../ai-systems.ts'
import { readProviderSettings } from '../providers/provider-settings.ts'
import type { HostedProvider } from './hosted-provider.ts'
import { HOSTED_PROVIDERS, type HostedAiSystem } from './providers.ts'

/** Files of this folder that are no provider. */
const OTHERS = ['hosted-provider.ts', 'provider-variable.ts', 'providers.ts']

const read = (file: string) => readFileSync(join(import.meta.dirname, file), 'utf8')

test('every file of a provider stands in the list, by the name of its provider', () => {
  const files = readdirSync(import.meta.dirname).filter((file) => !file.endsWith('.test.ts') && !OTHERS.includes(file))
  expect(files.toSorted()).toEqual(HOSTED_PROVIDERS.map(({ name }) => `${name}.ts`).toSorted())
})

test('no name, alias or variable is that of two', () => {
  const all = HOSTED_PROVIDERS.flatMap(({ name, aliases, variables }) => [
    name,
    ...aliases,
    ...variables.map((variable) => variable.name),
  ])
  expect(all.filter((one, i) => all.indexOf(one) !== i)).toEqual([])
})

describe.each(HOSTED_PROVIDERS.map((provider): [string, HostedProvider<HostedAiSystem>] => [provider.name, provider]))(
  '%s',
  (name, provider) => {
    test('is known by its other names', () => {
      expect(provider.aliases.filter((alias) => parseAiSystem(alias) !== name)).toEqual([])
    })

    test('needs only what it reads, a secret among it', () => {
      const variables = new Map(provider.variables.map((variable) => [variable.name, variable]))
      const needed = provider.needs.flat()
      expect([...needed, ...(provider.chosenBy ?? [])].filter((variable) => !variables.has(variable))).toEqual([])
      expect(needed.some((variable) => variables.get(variable)?.isSecret)).toBe(true)
    })

    test('can be read when nothing is set, and says where it is then if it always is at the same place', () => {
      const account = readProviderSettings({}).hosted[provider.name]
      const fallback = provider.variables.map((variable) => variable.default).find((value) => value?.startsWith('http'))
      expect(account.baseUrl?.startsWith('https://') ?? false).toBe(fallback !== undefined)
    })

    test('loads its package only when it is used', () => {
      const text = read(`${name}.ts`)
      expect(text).toMatch(/await import\('@ai-sdk\//)
      expect(text).not.toMatch(/^import .*@ai-sdk\//m)
    })

    test('answers in a test from a recorded stream', () => {
      const text = read('hosted-providers.test.ts')
      const replies = text.slice(text.indexOf("describe('a whole reply'"), text.indexOf("describe('the request'"))
      expect(replies).toMatch(new RegExp(`\\[\\s*'${name}',\\s*'/`))
    })
  },
)
