import { resolve } from 'node:path'
import type { AzureAccess, AzureLocation } from './azure-blobs.ts'
import type { S3Location } from './s3-blobs.ts'

/** Where blobs are kept. Holds credentials: never to be printed. */
export type BlobLocation =
  | { kind: 'files'; directory: string }
  | ({ kind: 's3' } & S3Location)
  | ({ kind: 'azure' } & AzureLocation)

type Environment = Readonly<Record<string, string | undefined>>

/** What `UseDevelopmentStorage=true` stands for: the account that every emulator has, with a key that is no secret. */
const DEVELOPMENT =
  'BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1;AccountName=devstoreaccount1;' +
  'AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=='

/** Letters that need no encoding in any store; parts between slashes are not `.` or `..`. */
const PREFIX = /^(?:(?!\.{1,2}(?:\/|$))[\w.-]+(?:\/|$))*$/

/**
 * Reads `DRAMATIS_BLOB_URL` (`value`, empty for a folder in `dataDirectory`) and the variables with its credentials.
 * Throws an `Error` with a sentence that names the variable that is wrong.
 */
export function readBlobLocation(value: string, env: Environment, dataDirectory: string): BlobLocation {
  if (value === '') return { kind: 'files', directory: resolve(dataDirectory, 'blobs') }
  const file = /^file:(?:\/\/)?(.+)$/.exec(value)?.[1]
  if (file) return { kind: 'files', directory: resolve(decodeURIComponent(file)) }
  if (/^s3:\/\//.test(value)) return { kind: 's3', ...readS3(readUrl(value), env) }
  if (/^azure:\/\//.test(value)) return { kind: 'azure', ...readAzure(readUrl(value), env) }
  throw new Error('DRAMATIS_BLOB_URL must begin with file:, s3:// or azure://.')
}

type StoreUrl = { name: string; prefix: string; query: URLSearchParams }

function readUrl(value: string): StoreUrl {
  const [, name = '', path = '', query = ''] = /^\w+:\/\/([^/?#]*)\/?([^?#]*)(?:\?([^#]*))?$/.exec(value) ?? []
  if (!/^[\w.-]{3,63}$/.test(name)) throw new Error('DRAMATIS_BLOB_URL must name a bucket or a container.')
  if (!PREFIX.test(path)) {
    throw new Error(
      'DRAMATIS_BLOB_URL may have only letters, digits, ".", "_" and "-" between the slashes of its path.',
    )
  }
  return { name, prefix: path === '' || path.endsWith('/') ? path : `${path}/`, query: new URLSearchParams(query) }
}

function readS3({ name, prefix, query }: StoreUrl, env: Environment): S3Location {
  checkQuery(query, ['endpoint', 'region'])
  const endpoint = query.get('endpoint')
  if (endpoint !== null && !isHttpUrl(endpoint)) {
    throw new Error('DRAMATIS_BLOB_URL has an endpoint that is no http:// or https:// URL.')
  }
  const accessKeyId = env['AWS_ACCESS_KEY_ID']?.trim()
  const secretAccessKey = env['AWS_SECRET_ACCESS_KEY']?.trim()
  if (!accessKeyId || !secretAccessKey) {
    throw new Error('DRAMATIS_BLOB_URL is on S3, which needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.')
  }
  const region = query.get('region') ?? (env['AWS_REGION']?.trim() || 'us-east-1')
  if (!/^[\w-]+$/.test(region)) throw new Error('DRAMATIS_BLOB_URL has a region that is none.')
  const sessionToken = env['AWS_SESSION_TOKEN']?.trim() || null
  return { bucket: name, prefix, endpoint, region, accessKeyId, secretAccessKey, sessionToken }
}

function readAzure({ name, prefix, query }: StoreUrl, env: Environment): AzureLocation {
  checkQuery(query, [])
  const text = env['AZURE_STORAGE_CONNECTION_STRING']?.trim()
  if (!text) throw new Error('DRAMATIS_BLOB_URL is on Azure, which needs AZURE_STORAGE_CONNECTION_STRING.')
  const parts = connectionParts(text)
  const known = parts.get('usedevelopmentstorage') === 'true' ? connectionParts(DEVELOPMENT) : parts
  const account = known.get('accountname')
  const protocol = known.get('defaultendpointsprotocol') ?? 'https'
  const suffix = known.get('endpointsuffix') ?? 'core.windows.net'
  const endpoint = known.get('blobendpoint') ?? (account && `${protocol}://${account}.blob.${suffix}`)
  if (!endpoint || !isHttpUrl(endpoint)) throw new Error(`${CONNECTION} must have AccountName or BlobEndpoint.`)
  return { container: name, prefix, endpoint: endpoint.replace(/\/+$/, ''), access: readAccess(known, account) }
}

const CONNECTION = 'AZURE_STORAGE_CONNECTION_STRING'

function readAccess(parts: ReadonlyMap<string, string>, account: string | undefined): AzureAccess {
  const key = parts.get('accountkey')
  if (account && key) return { account, key }
  const sas = parts.get('sharedaccesssignature')
  if (sas) return { sas: sas.replace(/^\?/, '') }
  throw new Error(`${CONNECTION} must have AccountName and AccountKey, or SharedAccessSignature.`)
}

/** `Name=value;Name=value`, the names in lower case. */
function connectionParts(text: string): Map<string, string> {
  const parts = text.split(';').filter((part) => part.includes('='))
  return new Map(
    parts.map((part) => [
      part.slice(0, part.indexOf('=')).trim().toLowerCase(),
      part.slice(part.indexOf('=') + 1).trim(),
    ]),
  )
}

function checkQuery(query: URLSearchParams, known: readonly string[]): void {
  const unknown = [...query.keys()].find((name) => !known.includes(name))
  if (unknown !== undefined) throw new Error(`DRAMATIS_BLOB_URL has "${unknown}", which nothing here knows.`)
}

function isHttpUrl(text: string): boolean {
  return URL.canParse(text) && /^https?:$/.test(new URL(text).protocol)
}
