import type { BlobLocation } from '../blobs/blob-location.ts'
import { secretsOfPostgresUrl } from '../storage/postgres/target.ts'
import type { Config } from './config.ts'

/** Every secret of a configuration: none of them may stand in a log. */
export function knownSecrets({ providers, apiKey, tools, database, blobs }: Config): string[] {
  return [
    ...providers.secrets,
    ...(apiKey === null ? [] : [apiKey]),
    ...[tools.secretKey ?? [], tools.previousSecretKeys].flat().map((key) => key.toString('base64')),
    ...(database.kind === 'postgres' ? secretsOfPostgresUrl(database.url) : []),
    ...secretsOfBlobs(blobs),
  ].filter((secret) => secret !== '')
}

function secretsOfBlobs(blobs: BlobLocation): string[] {
  if (blobs.kind === 's3') return [blobs.secretAccessKey, blobs.sessionToken ?? '']
  if (blobs.kind === 'azure') return ['sas' in blobs.access ? blobs.access.sas : blobs.access.key]
  return []
}
