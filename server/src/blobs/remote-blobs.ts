import { askStore, type BlobRequest, deleteAll, elementsOf, mustBeThere } from './blob-requests.ts'
import { type BlobStore, checkKey, checkPrefix } from './blob-store.ts'

/** What is different between stores that are reached over HTTP with one object a request. */
export type RemoteStore = Readonly<{
  /** What an operator calls it in a sentence, such as `the bucket personas`. */
  name: string
  description: string
  /** In front of every key; empty, or ends with a slash. */
  prefix: string
  /** The address of a key that has its prefix already. */
  urlOf(key: string): URL
  /** The address of a list of the keys with this beginning, and the name of the XML element that holds one. */
  listUrl(beginning: string): URL
  keyElement: string
  sign(request: BlobRequest): Promise<Request>
}>

/** Blobs in a store over HTTP. What holds them (bucket, container) must be there. */
export function createRemoteBlobs({ name, description, prefix, sign, ...store }: RemoteStore): BlobStore {
  const ask = (request: BlobRequest) => askStore(name, request, sign)
  const urlOf = (key: string) => store.urlOf(prefix + key)

  async function listFirst(under: string): Promise<string[]> {
    const { bytes } = await mustBeThere(name, ask({ method: 'GET', url: store.listUrl(prefix + under) }))
    return elementsOf(bytes, store.keyElement).map((key) => key.slice(prefix.length))
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
    // It would have to be asked, by whoever asks this server.
    findObstacle: async () => null,
    describe: () => description,
  }
}
