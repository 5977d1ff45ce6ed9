import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect } from 'vitest'
import { createAzureBlobs } from '../../server/src/blobs/azure-blobs.ts'
import { sharedKey } from '../../server/src/blobs/azure-signature.ts'
import { createS3Blobs } from '../../server/src/blobs/s3-blobs.ts'
import { describeStore } from '../support/blob-stores.ts'

/** Their packages weigh 250 MB, so they are installed by `npm run test:blobs` and not by everybody. */
const PACKAGES = join(import.meta.dirname, '../blob-servers/node_modules')
const AZURITE = {
  account: 'devstoreaccount1',
  key: 'Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==',
}
const S3RVER = { accessKeyId: 'S3RVER', secretAccessKey: 'S3RVER' }

describe.skipIf(!existsSync(PACKAGES))('with servers of other makers (npm run test:blobs installs them)', () => {
  const directory = mkdtempSync(join(tmpdir(), 'dramatis-blob-servers-'))
  const servers: ChildProcess[] = []
  let azurite = ''
  let s3rver = ''

  async function start(args: string[], ready: RegExp): Promise<string> {
    const [script = '', ...options] = args
    const server = spawn(process.execPath, [join(PACKAGES, script), ...options], { cwd: directory })
    servers.push(server)
    let said = ''
    return new Promise((resolve, reject) => {
      // Read to the end: both write a line for each request, and end when nobody takes it.
      server.stdout.on('data', (chunk) => {
        said += chunk
        const found = ready.exec(said)?.[1]
        if (found !== undefined) resolve(found)
      })
      server.on('close', () => reject(new Error(`${script} did not start: ${said}`)))
    })
  }

  beforeAll(async () => {
    const azuriteOptions = ['--inMemoryPersistence', '--blobPort', '0', '--disableTelemetry']
    const s3rverOptions = ['-d', directory, '-a', '127.0.0.1', '-p', '0', '--configure-bucket', 'bucket']
    ;[azurite, s3rver] = await Promise.all([
      start(['azurite/dist/src/blob/main.js', ...azuriteOptions], /successfully listens on (\S+)/),
      start(['s3rver/bin/s3rver.js', ...s3rverOptions], /listening on (\S+)/),
    ])
    const url = new URL(`${azurite}/${AZURITE.account}/container?restype=container`)
    const headers = { 'x-ms-date': new Date().toUTCString(), 'x-ms-version': '2021-08-06' }
    const parts = { method: 'PUT', url, contentLength: 0, contentType: '', headers }
    const authorization = sharedKey(AZURITE.account, AZURITE.key, parts)
    expect((await fetch(url, { method: 'PUT', headers: { ...headers, authorization } })).status).toBe(201)
  })
  afterAll(() => {
    for (const server of servers) server.kill()
    rmSync(directory, { recursive: true })
  })

  describeStore('Azurite', () =>
    createAzureBlobs({
      container: 'container',
      prefix: 'some/prefix/',
      endpoint: `${azurite}/${AZURITE.account}`,
      access: AZURITE,
    }),
  )
  describeStore('s3rver', () =>
    createS3Blobs({
      bucket: 'bucket',
      prefix: 'some/prefix/',
      endpoint: `http://${s3rver}`,
      region: 'us-east-1',
      ...S3RVER,
      sessionToken: null,
    }),
  )
})
