import { expect, test } from 'vitest'
import { networkOf, parseNetworks, plainAddress } from './networks.ts'

test('addresses and networks of both kinds are found', () => {
  const networks = parseNetworks(['10.0.0.7', '192.168.0.0/16', '2001:db8::/32', '::1'])
  for (const address of ['10.0.0.7', '192.168.200.1', '2001:db8:ffff::1', '::1', '0:0:0:0:0:0:0:1']) {
    expect(networks.has(address), address).toBe(true)
  }
  for (const address of ['10.0.0.8', '192.169.0.1', '2001:db9::1', '::2', '', 'nonsense', '10.0.0.7.1']) {
    expect(networks.has(address), address).toBe(false)
  }
  expect(parseNetworks([]).has('127.0.0.1')).toBe(false)
})

test.each(['10.0.0', '10.0.0.0/33', '::1/129', 'proxy.internal', '10.0.0.0/8/8', '10.0.0.0/'])('%s is none', (item) => {
  expect(() => parseNetworks([item])).toThrow(`"${item}" is no address or network`)
})

test.each([
  ['192.0.2.1', '192.0.2.1'],
  ['::ffff:192.0.2.1', '192.0.2.1'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:0db8::1', '2001:db8:0:0::/64'],
  ['2001:db8:1:2::', '2001:db8:1:2::/64'],
  ['::1', '0:0:0:0::/64'],
  ['fe80::1%eth0', 'fe80:0:0:0::/64'],
  ['', ''],
])('%s counts as %s', (address, network) => {
  expect(networkOf(address)).toBe(network)
})

test('an address is written plainly', () => {
  expect(plainAddress('::FFFF:10.0.0.7')).toBe('10.0.0.7')
  expect(plainAddress('fe80::1%eth0')).toBe('fe80::1')
})
