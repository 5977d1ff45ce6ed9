import { sharedKey } from './azure-signature.ts'
import { askStore, type BlobRequest, deleteAll, elementsOf, mustBeThere } from './blob-requests.ts'
import { type BlobStore, checkKey, checkPrefix } from './blob-store.ts'

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
  const name = `the container ${container}`
  const base = `${endpoint}/${container}`
  const urlOf = (key: string) => new URL(`${base}/${prefix}${key}`)

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
  const ask = (request: BlobRequest) => askStore(name, request, sign)

  async function listFirst(under: string): Promise<string[]> {
    const url = new URL(base)
    url.search = `?restype=container&comp=list&prefix=${encodeURIComponent(prefix + under)}`
    const { bytes } = await mustBeThere(name, ask({ method: 'GET', url }))
    return elementsOf(bytes, 'Name').map((key) => key.slice(prefix.length))
  }

  async function remove(key: string): Promise<void> {
    await ask({ method: 'DELETE', url: urlOf(key) })
  }

  return {
    async put(key, body, { contentType }) {
      checkKey(key)
      await mustBeThere(name, ask({ method: 'PUT', url: urlOf(key), body, contentType }))
    },
    async get(key) {
      checkKey(key)
      const { status, bytes } = await ask({ method: 'GET', url: urlOf(key) })
      return status === 404 ? null : bytes
    },
    async delete(key) {
      checkKey(key)
      await remove(key)
    },
    async deletePrefix(under) {
      checkPrefix(under)
      await deleteAll(() => listFirst(under), remove)
    },
    async exists(key) {
      checkKey(key)
      return (await ask({ method: 'HEAD', url: urlOf(key) })).status !== 404
    },
    describe: () => `azure://${container}/${prefix} at ${endpoint}`,
  }
}
