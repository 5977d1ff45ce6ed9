import { createHash } from 'node:crypto'
import { AwsClient } from 'aws4fetch'
import type { BlobRequest } from './blob-requests.ts'
import type { BlobStore } from './blob-store.ts'
import { createRemoteBlobs } from './remote-blobs.ts'

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
    accessKeyId,
    secretAccessKey,
    region,
    service: 's3',
    retries: 0,
    ...(sessionToken === null ? {} : { sessionToken }),
  })
  const base = addressOf(location)

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
  return createRemoteBlobs({
    name: `the bucket ${bucket}`,
    description: `s3://${bucket}/${prefix}${endpoint === null ? '' : ` at ${endpoint}`}`,
    prefix,
    sign,
    keyElement: 'Key',
    urlOf: (key) => new URL(base + key),
    listUrl: (beginning) => new URL(`${base.replace(/\/$/, '')}?list-type=2&prefix=${encodeURIComponent(beginning)}`),
  })
}

/** Where the keys of a bucket begin: in its path for a server of one's own, which seldom has a name for each bucket. */
function addressOf({ bucket, endpoint, region }: S3Location): string {
  if (endpoint !== null) return `${endpoint.replace(/\/$/, '')}/${bucket}/`
  // The certificate of Amazon's wildcard covers no further dot.
  return bucket.includes('.')
    ? `https://s3.${region}.amazonaws.com/${bucket}/`
    : `https://${bucket}.s3.${region}.amazonaws.com/`
}
