/**
 * A host as a secret names it: exact, or `*.` and a name for every host below it, with a port if it is only for that
 * one. Names are ASCII, as in a URL; an IPv6 address stands in brackets.
 */
export const HOST_PATTERN =
  '^(\\*\\.)?[a-zA-Z0-9_-]+(\\.[a-zA-Z0-9_-]+)*(:[0-9]{1,5})?$' + '|^\\[[0-9a-fA-F:.]+\\](:[0-9]{1,5})?$'

/** Whether a secret that is for `hosts` (null: any) may be sent to this address. */
export function mayGoTo(hosts: readonly string[] | null, url: string): boolean {
  if (hosts === null) return true
  const { protocol, hostname, port } = new URL(url)
  const actualPort = port || (protocol === 'https:' ? '443' : '80')
  return hosts.some((pattern) => {
    const [, wantedHost = '', wantedPort] = /^(.*?)(?::(\d+))?$/.exec(pattern.toLowerCase()) ?? []
    if (wantedPort !== undefined && wantedPort !== actualPort) return false
    // What a URL spells in another way, such as an address, is compared as the URL spells it.
    if (wantedHost.startsWith('*.')) return hostname.endsWith(wantedHost.slice(1))
    return hostname === spelled(wantedHost)
  })
}

function spelled(host: string): string {
  return URL.canParse(`http://${host}/`) ? new URL(`http://${host}/`).hostname : host
}
