import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createAzureBlobs } from '../../server/src/blobs/azure-blobs.ts'
import { readBlobLocation } from '../../server/src/blobs/blob-location.ts'
import type { BlobStore } from '../../server/src/blobs/blob-store.ts'
import { openBlobs } from '../../server/src/blobs/open-blobs.ts'
import { createS3Blobs } from '../../server/src/blobs/s3-blobs.ts'
import { AZURE_ACCOUNT, S3_KEY, type StoreServer, startAzure, startS3 } from '../support/blob-server.ts'
import { describeStore } from '../support/blob-stores.ts'

const metadata = { contentType: 'application/gzip' }
const directory = mkdtempSync(join(tmpdir(), 'dramatis-blobs-'))
let s3: StoreServer
let azure: StoreServer
beforeAll(async () => {
  s3 = await startS3()
  azure = await startAzure()
})
afterAll(async () => {
  await Promise.all([s3.close(), azure.close()])
  rmSync(directory, { recursive: true })
})

const files = () => openBlobs({ kind: 'files', directory: join(directory, 'files') })
const openS3 = (prefix = 'some/prefix/', secretAccessKey = S3_KEY.secretAccessKey) =>
  createS3Blobs({
    bucket: 'a-bucket',
    prefix,
    endpoint: s3.url,
    region: 'eu-central-1',
    sessionToken: null,
    accessKeyId: S3_KEY.accessKeyId,
    secretAccessKey,
  })
const openAzure = (prefix = 'some/prefix/', key = AZURE_ACCOUNT.key) =>
  createAzureBlobs({
    container: 'a-container',
    prefix,
    endpoint: `${azure.url}/${AZURE_ACCOUNT.account}`,
    access: { account: AZURE_ACCOUNT.account, key },
  })

describeStore('files', files)
describeStore('a store of the S3 kind', openS3)
describeStore('a store of the Azure kind', openAzure)

describe('files', () => {
  test('leave nothing unfinished behind, and clear away what a crash has left', async () => {
    const unfinished = join(directory, 'files', '.unfinished')
    mkdirSync(unfinished, { recursive: true })
    for (const name of ['old', 'new']) writeFileSync(join(unfinished, name), 'half')
    utimesSync(join(unfinished, 'old'), 1, 1)
    await files().put('x/y', Buffer.from('whole'), metadata)
    expect(readdirSync(unfinished)).toEqual(['new'])
  })

  test('say what is wrong with the folder', async () => {
    const closed = join(directory, 'closed')
    mkdirSync(closed)
    writeFileSync(join(closed, 'file'), 'x')
    chmodSync(closed, 0o500)
    const store = openBlobs({ kind: 'files', directory: join(closed, 'file') })
    await expect(store.put('a/b', Buffer.from('x'), metadata)).rejects.toThrow(/the folder of the blobs cannot be used/)
    chmodSync(closed, 0o700)
  })
})

describe.each([
  ['S3', () => s3, openS3],
  ['Azure', () => azure, openAzure],
] as [string, () => StoreServer, (prefix?: string, secret?: string) => BlobStore][])(
  'a store on %s',
  (_, server, open) => {
    test('has its blobs below the prefix, with their type', async () => {
      await open('one/').put('k', Buffer.from('x'), metadata)
      const found = [...server().blobs].find(([path]) => path.endsWith('/one/k'))
      expect(found?.[1].contentType).toBe('application/gzip')
    })

    test('does not take a wrong secret, and shows neither it nor the signature', async () => {
      const secret = Buffer.from('wrong').toString('base64')
      const error = await open('', secret).get('a').catch(String)
      expect(error).toMatch(/^BlobError: the (bucket|container) .* answered 403 to GET .*\/a: .*SignatureDoesNotMatch/)
      expect(error).not.toContain(secret)
    })

    test('tries again what the store failed at, and gives up in the end', async () => {
      let failures = 2
      server().failWith(() => (failures-- > 0 ? 503 : null))
      await open().put('again', Buffer.from('x'), metadata)
      expect(Buffer.from((await open().get('again')) ?? []).toString()).toBe('x')
      let asked = 0
      server().failWith(() => {
        asked++
        return 500
      })
      await expect(open().get('again')).rejects.toThrow(/answered 500 to GET/)
      expect(asked).toBe(3)
      server().failWith(() => 404)
      await expect(open().put('again', Buffer.from('x'), metadata)).rejects.toThrow(/does not exist/)
      server().failWith(() => null)
    })
  },
)

test('a store that nobody listens at says so', async () => {
  const store = createS3Blobs({
    bucket: 'bucket',
    prefix: '',
    endpoint: 'http://127.0.0.1:9',
    region: 'x',
    sessionToken: null,
    ...S3_KEY,
  })
  await expect(store.get('a')).rejects.toThrow(/^the bucket bucket cannot be reached: /)
})

describe('DRAMATIS_BLOB_URL', () => {
  const AWS = { AWS_ACCESS_KEY_ID: 'id', AWS_SECRET_ACCESS_KEY: 'secret' }
  const azureWith = (text: string) => ({ AZURE_STORAGE_CONNECTION_STRING: text })
  const read = (url: string, env: Record<string, string> = {}) => readBlobLocation(url, env, '/data')

  test('says where the blobs are', () => {
    expect(read('')).toEqual({ kind: 'files', directory: '/data/blobs' })
    expect(read('file:/a%20b')).toEqual({ kind: 'files', directory: '/a b' })
    expect(read('file:///a')).toEqual({ kind: 'files', directory: '/a' })
    const keys = { accessKeyId: 'id', secretAccessKey: 'secret', sessionToken: null }
    expect(read('s3://bucket', AWS)).toEqual({
      kind: 's3',
      bucket: 'bucket',
      prefix: '',
      endpoint: null,
      region: 'us-east-1',
      ...keys,
    })
    expect(read('s3://bucket/a/b?endpoint=http://minio:9000&region=here', AWS)).toEqual({
      kind: 's3',
      bucket: 'bucket',
      prefix: 'a/b/',
      endpoint: 'http://minio:9000',
      region: 'here',
      ...keys,
    })
    const parts = 'DefaultEndpointsProtocol=https;AccountName=me;AccountKey=a2V5PT0=;EndpointSuffix=core.windows.net'
    expect(read('azure://box/p', azureWith(parts))).toEqual({
      kind: 'azure',
      container: 'box',
      prefix: 'p/',
      endpoint: 'https://me.blob.core.windows.net',
      access: { account: 'me', key: 'a2V5PT0=' },
    })
    const sas = 'BlobEndpoint=https://me.example/;SharedAccessSignature=?sv=1&sig=a%3D'
    expect(read('azure://box', azureWith(sas))).toMatchObject({
      endpoint: 'https://me.example',
      access: { sas: 'sv=1&sig=a%3D' },
    })
    expect(read('azure://box', azureWith('UseDevelopmentStorage=true'))).toMatchObject({
      endpoint: 'http://127.0.0.1:10000/devstoreaccount1',
    })
  })

  test.each([
    ['ftp://x', {}, /must begin with/],
    ['s3://b', AWS, /must name a bucket/],
    ['s3://bucket/a b', AWS, /may have only letters/],
    ['s3://bucket/a/../b', AWS, /may have only letters/],
    ['s3://bucket?endpoint=minio:9000', AWS, /endpoint that is no/],
    ['s3://bucket?acl=public', AWS, /has "acl"/],
    ['s3://bucket', { AWS_ACCESS_KEY_ID: 'id' }, /needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY/],
    ['azure://box', {}, /needs AZURE_STORAGE_CONNECTION_STRING/],
    ['azure://box', azureWith('AccountName=me'), /must have AccountName and AccountKey/],
    ['azure://box', azureWith('AccountKey=a2V5'), /must have AccountName or BlobEndpoint/],
  ])('%s is refused in words', (url, env, words) => {
    expect(() => read(url, env)).toThrow(words)
  })
})

test('no store shows credentials where it is described', () => {
  expect([files().describe(), openS3().describe(), openAzure().describe()].join(' ')).not.toMatch(
    /test-secret|a2V5|test-id/,
  )
  expect(existsSync(directory)).toBe(true)
})
