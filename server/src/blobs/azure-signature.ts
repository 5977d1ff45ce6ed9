import { createHmac } from 'node:crypto'

export type SignedParts = {
  method: string
  /** With the account's path, the container and the blob. */
  url: URL
  contentLength: number
  contentType: string
  /** Headers that begin with `x-ms-`, in lower case. */
  headers: Readonly<Record<string, string>>
}

/**
 * The `Authorization` header of the Shared Key scheme of Azure Storage, see
 * https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key
 */
export function sharedKey(account: string, key: string, parts: SignedParts): string {
  const { method, url, contentLength, contentType, headers } = parts
  const canonicalHeaders = Object.keys(headers)
    .toSorted()
    .map((name) => `${name}:${headers[name]}\n`)
    .join('')
  const query = [...new Set(url.searchParams.keys())]
    .toSorted()
    .map((name) => `\n${name.toLowerCase()}:${url.searchParams.getAll(name).toSorted().join(',')}`)
    .join('')
  const text = [
    method,
    ...['', ''], // encoding, language
    contentLength === 0 ? '' : String(contentLength),
    '', // MD5
    contentType,
    ...['', '', '', '', '', ''], // date (x-ms-date has it), four conditions, range
    `${canonicalHeaders}/${account}${url.pathname}${query}`,
  ].join('\n')
  const signature = createHmac('sha256', Buffer.from(key, 'base64')).update(text, 'utf8').digest('base64')
  return `SharedKey ${account}:${signature}`
}
