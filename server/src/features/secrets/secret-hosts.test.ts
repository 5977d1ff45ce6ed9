import { describe, expect, test } from 'vitest'
import { HOST_PATTERN, mayGoTo } from './secret-hosts.ts'

describe('a secret', () => {
  test('for any host may go anywhere', () => {
    expect(mayGoTo(null, 'http://anything.example/')).toBe(true)
  })

  test.each([
    ['api.example.com', 'https://api.example.com/a', true],
    ['api.example.com', 'https://API.example.com:8443/a', true],
    ['API.Example.com', 'https://api.example.com/', true],
    ['api.example.com', 'https://api.example.com.evil.org/', false],
    ['api.example.com', 'https://evil-api.example.com/', false],
    ['api.example.com', 'https://api.example.com@evil.org/', false],
    ['api.example.com', 'https://api.example.com./', false],
    ['*.example.com', 'https://a.b.example.com/', true],
    ['*.example.com', 'https://example.com/', false],
    ['*.example.com', 'https://badexample.com/', false],
    ['api.example.com:443', 'https://api.example.com/', true],
    ['api.example.com:443', 'http://api.example.com/', false],
    ['api.example.com:8443', 'https://api.example.com/', false],
    ['127.0.0.1:80', 'http://2130706433/', true],
    ['[::1]:8080', 'http://[0:0:0:0:0:0:0:1]:8080/', true],
    ['[::1]', 'http://127.0.0.1/', false],
  ])('for %s going to %s: %s', (host, url, may) => {
    expect(host).toMatch(new RegExp(HOST_PATTERN))
    expect(mayGoTo([host], url)).toBe(may)
    expect(mayGoTo(['other.example', host], url)).toBe(may)
  })
})

test.each(['', '*', 'https://a.example', 'a.example/b', 'a b', '*.', 'a..b', '*.*.a', 'a:', 'a:123456', 'user@a'])(
  '"%s" is no host',
  (text) => {
    expect(text).not.toMatch(new RegExp(HOST_PATTERN))
  },
)
