import { expect, test } from 'vitest'
import { UsageError } from '../command.ts'
import { parseDailyTokens, parseExpiry, parseName, parseScopes } from './key-options.ts'

const NOW = Date.parse('2026-06-15T12:00:00Z')

test.each([
  ['30d', NOW + 30 * 86_400_000],
  ['2027-01-01', Date.parse('2027-01-01T00:00:00Z')],
  ['2028-02-29', Date.parse('2028-02-29T00:00:00Z')],
  ['2026-06-15T12:01Z', NOW + 60_000],
  ['2026-06-15T14:00:01.5+02:00', NOW + 1_500],
])('%s is a time', (text, at) => {
  expect(parseExpiry(text, NOW)).toBe(at)
})

test.each([
  '',
  '30',
  '0d',
  '-1d',
  '30 days',
  '2026-06-15',
  '2027-02-29',
  '2027-04-31T00:00Z',
  '2027-13-01',
  '2027-1-1',
  '2027-01-01T00:00',
  '2027-01-01T25:00Z',
])('"%s" is none', (text) => {
  expect(() => parseExpiry(text, NOW)).toThrow(UsageError)
})

test('reads scopes, in the order of the documentation', () => {
  expect(parseScopes('personas:read, conversations:write,personas:read')).toEqual([
    'conversations:write',
    'personas:read',
  ])
  expect(parseScopes('all')).toHaveLength(11)
  expect(parseScopes(undefined)).toHaveLength(9)
  expect(parseScopes(undefined).join()).not.toContain('admin')
  for (const text of ['', ' , ', 'personas', 'personas:read,all', 'Personas:read']) {
    expect(() => parseScopes(text)).toThrow(UsageError)
  }
})

test('takes whole numbers of tokens', () => {
  expect(parseDailyTokens(undefined)).toBeNull()
  expect(parseDailyTokens('1')).toBe(1)
  expect(parseDailyTokens('1000000000000')).toBe(1e12)
  for (const text of ['', '0', '-5', '1.5', '1e6', '1000000000001', 'many', ' 5']) {
    expect(() => parseDailyTokens(text)).toThrow(UsageError)
  }
})

test('takes the names that the API takes', () => {
  expect(parseName('x'.repeat(100))).toHaveLength(100)
  expect(() => parseName('x'.repeat(101))).toThrow(UsageError)
  expect(() => parseName('  ')).toThrow(UsageError)
})
