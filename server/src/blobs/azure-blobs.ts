import { sharedKey } from './azure-signature.ts'
import type { BlobRequest } from './blob-requests.ts'
import type { BlobStore } from './blob-store.ts'
import { createRemoteBlobs } from './remote-blobs.ts'

/** How an account lets somebody in: with its key, or with the query of a shared access signature. */
export type AzureAccess = Readonly<{ account: string; key: string } | { sas: string }>

export type AzureLocation = Readonly<{
  container: string
  /** Empty, or ends with a slash. */
  prefix: string
  /** Without a slash at the end. */
  endpoint: string
  access: AzureAccess
}>

/** The first version of the service that needs nothing newer, so that older emulators answer too. */
const API_VERSION = '2021-08-06'

/** Blobs in a container of Azure Blob Storage. The container must be there. */
export function createAzureBlobs(location: AzureLocation): BlobStore {
  const { container, prefix, endpoint, access } = location
  const base = `${endpoint}/${container}`

  async function sign({ method, url, body, contentType = '' }: BlobRequest): Promise<Request> {
    const headers: Record<string, string> = {
      'x-ms-date': new Date().toUTCString(),
      'x-ms-version': API_VERSION,
      ...(method === 'PUT' ? { 'x-ms-blob-type': 'BlockBlob' } : {}),
    }
    const parts = { method, url, contentLength: body?.byteLength ?? 0, contentType, headers }
    const to = new URL(url)
    if ('sas' in access) to.search = [to.search.slice(1), access.sas].filter((part) => part !== '').join('&')
    return new Request(to, {
      method,
      headers: {
        ...headers,
        ...('sas' in access ? {} : { authorization: sharedKey(access.account, access.key, parts) }),
        ...(contentType === '' ? {} : { 'content-type': contentType }),
      },
      ...(body === undefined ? {} : { body: body as Uint8Array<ArrayBuffer> }),
    })
  }
  return createRemoteBlobs({
    name: `the container ${container}`,
    description: `azure://${container}/${prefix} at ${endpoint}`,
    prefix,
    sign,
    keyElement: 'Name',
    urlOf: (key) => new URL(`${base}/${key}`),
    listUrl: (beginning) => new URL(`${base}?restype=container&comp=list&prefix=${encodeURIComponent(beginning)}`),
  })
}
