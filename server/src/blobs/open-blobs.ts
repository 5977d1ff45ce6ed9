import { createAzureBlobs } from './azure-blobs.ts'
import type { BlobLocation } from './blob-location.ts'
import type { BlobStore } from './blob-store.ts'
import { createFileBlobs } from './file-blobs.ts'
import { createS3Blobs } from './s3-blobs.ts'

/** The store at a location. Nothing is asked of it yet: whether it answers shows with the first blob. */
export function openBlobs(location: BlobLocation): BlobStore {
  if (location.kind === 's3') return createS3Blobs(location)
  if (location.kind === 'azure') return createAzureBlobs(location)
  return createFileBlobs(location.directory)
}
