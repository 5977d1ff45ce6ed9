import { expect, test } from 'vitest'
import { readConfig } from '../../config/config.ts'
import { ConfigError } from '../../config/config-error.ts'
import { createAddressOf } from './address.ts'

const addressOf = (publicUrl: string, request: { protocol: 'http' | 'https'; host: string }) =>
  createAddressOf(readConfig({ DRAMATIS_PUBLIC_URL: publicUrl }).config.publicUrl)(request)

test('the address is that of the request, unless it is set', () => {
  const request = { protocol: 'https', host: 'here:8443' } as const
  expect(addressOf('', request)).toBe('https://here:8443')
  expect(addressOf('', { ...request, host: '' })).toBe('https://localhost')
  expect(addressOf('https://there.example/below//', request)).toBe('https://there.example/below')
})

test.each(['there.example', 'ftp://there', 'https://there/?a=b', 'https://there/#c'])('%s is refused', (publicUrl) => {
  expect(() => readConfig({ DRAMATIS_PUBLIC_URL: publicUrl })).toThrow(ConfigError)
})
