import { createHash, createHmac } from 'node:crypto'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'

export const S3_KEY = { accessKeyId: 'test-id', secretAccessKey: 'test-secret' }
export const AZURE_ACCOUNT = { account: 'testaccount', key: Buffer.from('a key of the account').toString('base64') }

export type StoreServer = {
  url: string
  /** What is stored, by path. */
  blobs: Map<string, { bytes: Buffer; contentType: string }>
  /** Answers the next requests with this status, until it says null. */
  failWith(next: () => number | null): void
  close(): Promise<void>
}

type Asked = { method: string; path: string; query: URLSearchParams; headers: IncomingMessage['headers']; body: Buffer }

/** As much of S3 as the server uses, for any bucket. Whoever signs wrongly, or sends another body than signed, gets 403. */
export const startS3 = (): Promise<StoreServer> => start(isSignedV4, listS3, 204)

/** As much of Azure Blob Storage, under the path of the account. */
export const startAzure = (): Promise<StoreServer> => start(isSharedKey, listAzure, 202)

async function start(
  isSigned: (asked: Asked) => boolean,
  list: (keys: string[]) => string,
  deleted: number,
): Promise<StoreServer> {
  const blobs: StoreServer['blobs'] = new Map()
  let fail: () => number | null = () => null

  function answer(asked: Asked): { status: number; body?: Buffer | string } {
    const { method, path, query, body, headers } = asked
    const failure = fail()
    if (failure !== null) return { status: failure, body: '<Error><Code>Broken</Code></Error>' }
    if (!isSigned(asked)) return { status: 403, body: '<Error><Code>SignatureDoesNotMatch</Code></Error>' }
    const prefix = query.get('prefix')
    if (prefix !== null) {
      const names = [...blobs.keys()].map((key) => key.slice(path.length + 1))
      return { status: 200, body: list(names.filter((name) => name.startsWith(prefix)).slice(0, 3)) }
    }
    const found = blobs.get(path)
    if (method === 'PUT') {
      blobs.set(path, { bytes: body, contentType: headers['content-type'] ?? '' })
      return { status: 201 }
    }
    if (method === 'DELETE') return { status: blobs.delete(path) ? deleted : 404 }
    return found ? { status: 200, body: found.bytes } : { status: 404 }
  }

  const server: Server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const url = new URL(request.url ?? '/', 'http://store')
    const { status, body = '' } = answer({
      method: request.method ?? '',
      path: url.pathname,
      query: url.searchParams,
      headers: request.headers,
      body: Buffer.concat(chunks),
    })
    response.writeHead(status).end(request.method === 'HEAD' ? undefined : body)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    blobs,
    failWith: (next) => {
      fail = next
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

const sha256 = (text: string | Buffer) => createHash('sha256').update(text).digest('hex')
const hmac = (key: string | Buffer, text: string) => createHmac('sha256', key).update(text).digest()
const encode = (text: string) =>
  encodeURIComponent(text).replaceAll(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16)}`)

/** https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html */
function isSignedV4({ method, path, query, headers, body }: Asked): boolean {
  const form =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d+\/[\w-]+\/s3\/aws4_request), SignedHeaders=([\w;-]+), Signature=(\w+)$/
  const [, id, scope = '', names = '', signature] = form.exec(headers.authorization ?? '') ?? []
  const bodyHash = headers['x-amz-content-sha256']
  if (id !== S3_KEY.accessKeyId || bodyHash !== sha256(body)) return false
  const canonical = [
    ...[method, path],
    [...query]
      .map(([name, value]) => `${encode(name)}=${encode(value)}`)
      .toSorted()
      .join('&'),
    ...names.split(';').map((name) => `${name}:${String(headers[name]).trim().replaceAll(/\s+/g, ' ')}`),
    ...['', names, bodyHash],
  ].join('\n')
  const key = scope.split('/').reduce<Buffer | string>(hmac, `AWS4${S3_KEY.secretAccessKey}`)
  const text = ['AWS4-HMAC-SHA256', headers['x-amz-date'], scope, sha256(canonical)].join('\n')
  return signature === hmac(key, text).toString('hex')
}

/** https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key */
function isSharedKey({ method, path, query, headers, body }: Asked): boolean {
  const own = Object.keys(headers)
    .filter((name) => name.startsWith('x-ms-'))
    .toSorted()
  const length = body.length === 0 ? '' : `${body.length}`
  const lines = [method, '', '', length, '', headers['content-type'] ?? '', '', '', '', '', '', '']
  const parameters = [...query].map(([name, value]) => `${name}:${value}`).toSorted()
  const text = [
    ...lines,
    ...own.map((name) => `${name}:${headers[name]}`),
    [`/${AZURE_ACCOUNT.account}${path}`, ...parameters].join('\n'),
  ].join('\n')
  const signature = createHmac('sha256', Buffer.from(AZURE_ACCOUNT.key, 'base64')).update(text).digest('base64')
  return headers.authorization === `SharedKey ${AZURE_ACCOUNT.account}:${signature}`
}

const listS3 = (keys: string[]) =>
  `<?xml version="1.0"?><ListBucketResult>${keys.map((key) => `<Contents><Key>${key}</Key></Contents>`).join('')}</ListBucketResult>`
const listAzure = (keys: string[]) =>
  `<?xml version="1.0"?><EnumerationResults><Blobs>${keys.map((key) => `<Blob><Name>${key}</Name></Blob>`).join('')}</Blobs></EnumerationResults>`
