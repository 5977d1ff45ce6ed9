import { createOrganization, type Json, type RunningApp, serve } from './app.ts'
import type { DatabaseKind } from './databases.ts'

type Headers = { 'x-hl-api-key': string }

/** A server with two organizations: `loud` does its worst, and `quiet` wants a turn. */
export async function startWithTwo(kind: DatabaseKind, env: Record<string, string> = {}) {
  const place = await kind.create()
  const first = await serve(place)
  const [loud, quiet] = [await createOrganization(first, 'Loud'), await createOrganization(first, 'Quiet')]
  await first.close()
  const running = await serve(place, env)
  const close = async () => {
    await running.close()
    await place.remove()
  }
  const server: RunningApp = { ...running, close }
  const keyOf = ({ key }: { key: string }): Headers => ({ 'x-hl-api-key': key })
  const start = async (key: Headers, fields: Json) => {
    const answer = await server.call('POST', '/conversations', fields, key)
    if (answer.status !== 200) throw new Error(`conversation: ${answer.status} ${answer.text}`)
    return `/conversations/${answer.body['conversationId']}`
  }
  const send = (key: Headers, path: string, query = '') =>
    server.call('PATCH', `${path}/chat${query}`, { message: 'Hi' }, key)
  /** Sends a message, and resolves when the run is stored; `answer` is what comes of it. */
  const begin = async (key: Headers, fields: Json) => {
    const path = await start(key, fields)
    const response = await server.open('POST', `${path}/chat-sse`, { message: 'Hi' }, key)
    const runId = response.headers.get('x-dramatis-run-id')
    return { path, run: `${path}/runs/${runId}`, response }
  }
  return { server, loud: keyOf(loud), quiet: keyOf(quiet), organizations: { loud, quiet }, start, send, begin }
}
