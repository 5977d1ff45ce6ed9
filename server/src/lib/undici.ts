import { createRequire } from 'node:module'
import type * as Undici from 'undici'

const require = createRequire(import.meta.url)

// Taken by their paths, because the index of the package loads its fetch, its WebSockets, its caches and its mocks too:
// 80 files of 110, which take 30 ms and 6 MB of every start. `fetch` is for import('undici') where it is used.
/** Keeps connections: https://undici.nodejs.org/#/docs/api/Agent */
export const Agent: typeof Undici.Agent = require('undici/lib/dispatcher/agent.js')
/** Opens a connection: https://undici.nodejs.org/#/docs/api/Connector */
export const buildConnector: typeof Undici.buildConnector = require('undici/lib/core/connect.js')

type Send = (
  this: Undici.Dispatcher,
  options: Undici.Dispatcher.RequestOptions,
) => Promise<Undici.Dispatcher.ResponseData>
const send: Send = require('undici/lib/api/api-request.js')

type RequestOptions = Omit<Undici.Dispatcher.RequestOptions, 'origin' | 'path' | 'method'> & {
  dispatcher: Undici.Dispatcher
  /** GET by default. */
  method?: Undici.Dispatcher.HttpMethod
}

/** One request, as undici's `request`. Rejects with undici's errors, and with a `TypeError` when `url` is none. */
export async function request(url: string, options: RequestOptions): Promise<Undici.Dispatcher.ResponseData> {
  const { dispatcher, method = 'GET', ...rest } = options
  const { origin, pathname, search } = new URL(url)
  return send.call(dispatcher, { ...rest, method, origin, path: pathname + search })
}
