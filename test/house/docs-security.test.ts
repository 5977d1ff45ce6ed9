import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { SCOPES } from '../../server/src/http/requests/caller.ts'
import { ROOT, rowsOf, section, textOf } from '../support/pages.ts'

const PAGE = textOf('docs/security.md')

describe('the page on security', () => {
  test('has every scope', () => {
    const rows = rowsOf(section(PAGE, '## What each scope can reach'))
    const named = rows.map(([scope]) => scope?.replaceAll('`', ''))
    expect(SCOPES.filter((scope) => !named.includes(scope))).toEqual([])
  })

  test.each([
    ['## OWASP API Security Top 10 (2023)', 'API'],
    ['## OWASP Top 10 for LLM applications (2025)', 'LLM0?'],
  ])('%s has ten rows, and each names tests that there are', (heading, prefix) => {
    const rows = rowsOf(section(PAGE, heading))
    expect(rows.map(([risk]) => new RegExp(`^${prefix}(\\d+) `).exec(risk ?? '')?.[1])).toEqual(
      Array.from({ length: 10 }, (_, i) => String(i + 1)),
    )
    for (const [risk, , tests = ''] of rows) {
      const files = [...tests.matchAll(/`([^`]+)`/g)].map(([, file]) => file as string)
      expect([risk, files.length > 0, ...files.filter((file) => !existsSync(join(ROOT, file)))]).toEqual([risk, true])
      expect(files.filter((file) => !file.endsWith('.test.ts'))).toEqual([])
    }
  })

  test('is found from the policy, which links to what is there', () => {
    const targets = [...textOf('SECURITY.md').matchAll(/\]\(([^)#\s]+)[^)]*\)/g)].map(([, target]) => target as string)
    expect(targets).toContain('docs/security.md')
    expect(targets.filter((target) => !existsSync(join(ROOT, target)))).toEqual([])
  })
})
