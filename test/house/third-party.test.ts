import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { isPermissive, keyOf, printNotices, runtimePackages } from '../../scripts/third-party.ts'
import { ROOT, textOf } from '../support/pages.ts'

type Sbom = {
  bomFormat: string
  components: { name: string; version: string }[]
  dependencies: { dependsOn: string[] }[]
}

const PACKAGES = runtimePackages(ROOT)

describe('the packages that a server may load', () => {
  test('are all under a permissive licence', () => {
    expect(PACKAGES.length).toBeGreaterThan(100)
    expect(
      PACKAGES.filter(({ license }) => !isPermissive(license)).map((one) => `${keyOf(one)}: ${one.license}`),
    ).toEqual([])
  })

  test('are those in THIRD_PARTY_NOTICES.md, with their licences: npm run notices', () => {
    expect(textOf('THIRD_PARTY_NOTICES.md')).toBe(printNotices(PACKAGES))
  })

  test('are those that npm run sbom lists, without a network', async () => {
    const options = { cwd: ROOT, env: { ...process.env, npm_config_offline: 'true' }, maxBuffer: 32 * 1024 ** 2 }
    const { stdout } = await promisify(execFile)('npm', ['run', '--silent', 'sbom'], options)
    const { bomFormat, components, dependencies } = JSON.parse(stdout) as Sbom
    expect(bomFormat).toBe('CycloneDX')
    const names = components.map(keyOf).filter((name) => !name.startsWith('@dramatis/'))
    expect(names.toSorted()).toEqual(PACKAGES.map(keyOf).toSorted())
    // It is asked what needs what, and so each is needed by something.
    const needed = new Set(dependencies.flatMap(({ dependsOn }) => dependsOn))
    expect(PACKAGES.map(keyOf).filter((name) => !needed.has(name))).toEqual([])
  })
})

test.each([
  ['MIT', true],
  ['(AFL-2.1 OR BSD-3-Clause)', true],
  ['MIT AND ISC', true],
  ['GPL-3.0-or-later', false],
  ['AGPL-3.0-only', false],
  ['LGPL-3.0', false],
  ['MPL-2.0', false],
  ['MIT AND GPL-2.0', false],
  ['SEE LICENSE IN LICENSE.txt', false],
  ['UNLICENSED', false],
  ['unknown', false],
])('%s is permissive: %s', (license, expected) => {
  expect(isPermissive(license)).toBe(expected)
})
