import { createHash } from 'node:crypto'
import { AwsClient } from 'aws4fetch'
import { askStore, type BlobRequest, deleteAll, elementsOf, mustBeThere } from './blob-requests.ts'
import { type BlobStore, checkKey, checkPrefix } from './blob-store.ts'

export type S3Location = Readonly<{
  bucket: string
  /** Empty, or ends with a slash. */
  prefix: string
  /** Of a compatible server; null for Amazon's own. */
  endpoint: string | null
  region: string
  accessKeyId: string
  secretAccessKey: string
  sessionToken: string | null
}>

/** Blobs in a bucket of S3 or of a server that is compatible with it. The bucket must be there. */
export function createS3Blobs(location: S3Location): BlobStore {
  const { bucket, prefix, endpoint, region, accessKeyId, secretAccessKey, sessionToken } = location
  const client = new AwsClient({
    ...{ accessKeyId, secretAccessKey, region, service: 's3', retries: 0 },
    ...(sessionToken === null ? {} : { sessionToken }),
  })
  const name = `the bucket ${bucket}`
  const base = addressOf(location)

  const urlOf = (key: string) => new URL(base + prefix + key)

  // The hash of the body is part of what is signed, so a body that arrives damaged is refused.
  const sign = ({ method, url, body, contentType }: BlobRequest): Promise<Request> =>
    client.sign(url.href, {
      method,
      headers: {
        'x-amz-content-sha256': createHash('sha256')
          .update(body ?? '')
          .digest('hex'),
        ...(contentType === undefined ? {} : { 'content-type': contentType }),
      },
      ...(body === undefined ? {} : { body: body as Uint8Array<ArrayBuffer> }),
    })
  const ask = (request: BlobRequest) => askStore(name, request, sign)

  async function listFirst(under: string): Promise<string[]> {
    const url = new URL(base.replace(/\/$/, ''))
    url.search = `?list-type=2&prefix=${encodeURIComponent(prefix + under)}`
    const { bytes } = await mustBeThere(name, ask({ method: 'GET', url }))
    return elementsOf(bytes, 'Key').map((key) => key.slice(prefix.length))
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
    describe: () => `s3://${bucket}/${prefix}${endpoint === null ? '' : ` at ${endpoint}`}`,
  }
}

/** Where the keys of a bucket begin: in its path for a server of one's own, which seldom has a name for each bucket. */
function addressOf({ bucket, endpoint, region }: S3Location): string {
  if (endpoint !== null) return `${endpoint.replace(/\/$/, '')}/${bucket}/`
  // The certificate of Amazon's wildcard covers no further dot.
  return bucket.includes('.')
    ? `https://s3.${region}.amazonaws.com/${bucket}/`
    : `https://${bucket}.s3.${region}.amazonaws.com/`
}
