/*
 * What a provider says must not tell callers where things are in the operator's network: this takes addresses out.
 * `redact.ts` takes out keys, `discreet.ts` the words of the prompt.
 */

/** What stands where an address was. */
const MARK = '…'

const LABEL = '[a-z0-9][a-z0-9_-]{0,62}'
/** A name that means something only inside a network. */
const INSIDE = `(?:localhost|(?:${LABEL}\\.){1,8}(?:internal|intranet|local|localdomain|localhost|lan|corp|home|private|svc|consul))\\b`
const IPV4 = '\\d{1,3}(?:\\.\\d{1,3}){3}'
const IPV6 = '(?:[0-9a-f]{1,4}:){1,7}(?::[0-9a-f]{1,4}){1,7}|::[0-9a-f]{1,4}|(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}'
const PORT = '(?::\\d{1,5})?'
const FOLDERS = 'app|data|etc|home|mnt|opt|private|root|run|srv|tmp|usr|var|work\\w{0,20}|Users|Volumes'

/** Addresses of the inside as servers name them in their errors. Each pattern has an end after so many characters. */
const ADDRESSES: readonly RegExp[] = [
  // A URL whose host is a number, a name of the inside, or a single word.
  new RegExp(
    `\\b[a-z][a-z0-9+.-]{1,15}://(?:${IPV4}|\\[[0-9a-f:.%]{2,60}\\]|${INSIDE}|${LABEL}(?![a-z0-9_.-]))[^\\s"'<>]{0,2000}`,
    'gi',
  ),
  new RegExp(`(?<![\\w.])${IPV4}${PORT}(?!\\w|\\.\\d)`, 'g'),
  new RegExp(`(?<![\\w:.])(?:\\[(?:${IPV6})\\]${PORT}|${IPV6})(?!\\w|:\\w)`, 'gi'),
  new RegExp(`(?<![\\w./-])${INSIDE}${PORT}(?![\\w-])`, 'gi'),
  // A single word with a port, such as the name of a container.
  new RegExp(`(?<![\\w./-])(?=[a-z])${LABEL}:\\d{2,5}(?![\\w.:])`, 'gi'),
  new RegExp(`(?<![\\w./])/(?:${FOLDERS})(?:/[^\\s"'<>:,;)/]{1,255}){1,40}`, 'g'),
  /\b[A-Z]:\\[^\s"'<>|]{1,400}/gi,
]

/**
 * Takes addresses of the inside out of a text that callers will see: IP addresses, names of hosts that only a network of
 * its own knows, paths of files, and the hosts of `urls`. Other public names stay: what is said of them may help.
 */
export function hideAddresses(text: string, urls: readonly string[]): string {
  // A host of one word could be a word; where it is an address the patterns find it.
  const hosts = urls.flatMap((url) => [new URL(url).host, new URL(url).hostname]).filter((host) => host.includes('.'))
  const known = hosts.reduce((shown, host) => shown.replaceAll(host, MARK), text)
  return ADDRESSES.reduce((shown, pattern) => shown.replace(pattern, MARK), known)
}
