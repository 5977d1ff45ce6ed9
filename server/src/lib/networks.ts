import { BlockList, isIP } from 'node:net'

/** Addresses and networks, such as `10.0.0.7`, `10.0.0.0/8` and `fd00::/8`. */
export type Networks = { has(address: string): boolean }

/** Throws an Error with a sentence's end, such as `"x" is no address`. */
export function parseNetworks(list: readonly string[]): Networks {
  const networks = new BlockList()
  for (const item of list) {
    const [, address = '', bits] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(item) ?? []
    const kind = kindOf(address)
    const most = kind === 'ipv4' ? 32 : 128
    if (kind === null || Number(bits ?? most) > most) throw new Error(`"${item}" is no address or network`)
    networks.addSubnet(address, Number(bits ?? most), kind)
  }
  return {
    has(address) {
      if (list.length === 0) return false
      const kind = kindOf(address)
      return kind !== null && networks.check(address, kind)
    },
  }
}

/** An IPv4 address that came in by way of IPv6 (`::ffff:10.0.0.7`) as what it is; a zone (`%eth0`) is left out. */
export function plainAddress(address: string): string {
  if (!address.includes(':')) return address
  const [, inner] = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address) ?? []
  return inner ?? address.replace(/%.*$/, '')
}

/**
 * Who counts as one: an IPv4 address, or a network of 64 bits in IPv6, which is what a single customer gets and can take
 * as many addresses from as it likes.
 */
export function networkOf(address: string): string {
  const plain = plainAddress(address)
  if (isIP(plain) !== 6) return plain
  const [head = '', tail = ''] = plain.split('::')
  const left = head === '' ? [] : head.split(':')
  const right = tail === '' ? [] : tail.split(':')
  const zeros = plain.includes('::')
    ? Array.from({ length: Math.max(0, 8 - left.length - right.length) }, () => '0')
    : []
  const groups = [...left, ...zeros, ...right].slice(0, 4)
  return `${groups.map((group) => Number.parseInt(group, 16).toString(16)).join(':')}::/64`
}

function kindOf(address: string): 'ipv4' | 'ipv6' | null {
  const version = isIP(address)
  return version === 4 ? 'ipv4' : version === 6 ? 'ipv6' : null
}
