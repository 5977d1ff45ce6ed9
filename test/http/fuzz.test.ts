import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { JsonObject } from '../../server/src/lib/json.ts'
import { chooseSeed } from '../faults/support/random.ts'
import { parseSse, type RunningApp, startApp } from '../support/app.ts'
import { SMALL_ARCHIVE } from '../support/archive.ts'
import { onEveryDatabase } from '../support/databases.ts'
import { type Document, readDocument } from '../support/fuzz/document.ts'
import { createJudge } from '../support/fuzz/judge.ts'
import { createRequests, type Draft } from '../support/fuzz/requests.ts'
import { createSender, type RawAnswer } from '../support/fuzz/send.ts'
import { createValues } from '../support/fuzz/values.ts'
import { createWorld, type Filled, fill, harvest, type World } from '../support/fuzz/world.ts'

/** Requests on each database; `npm run test:fuzz` takes more. */
const REQUESTS = Number(process.env['DRAMATIS_TEST_FUZZ_REQUESTS'] || '1500')
const AT_A_TIME = 500
const AT_ONCE = 6
const MOST_ERASURES = 5
const SEED = chooseSeed()

onEveryDatabase(`requests from the OpenAPI document (seed ${SEED})`, (kind) => {
  let server: RunningApp
  let document: Document
  let world: World
  beforeAll(async () => {
    server = await startApp(kind, { ...SMALL_ARCHIVE, DRAMATIS_SECRET_KEY: Buffer.alloc(32, 7).toString('base64') })
    document = readDocument((await server.call<JsonObject>('GET', '/openapi.json')).body)
    world = await createWorld(server)
  })
  afterAll(() => server.close())

  test('every answer is one that the document has, and shows nothing to whom it does not belong', {
    timeout: 60_000 + REQUESTS * 100,
  }, async () => {
    const values = createValues(document.resolve)
    const { judge } = createJudge(document, world)
    const { send, close } = createSender(server.url)
    const requests = createRequests(document.operations, values)
    const faults = new Map<string, string>()
    const statuses = new Map<number, number>()
    const answered = new Set<Draft['operation']>()

    /** A download that meets the deletion of what it reads breaks off, so that nobody takes it for whole; the next does not. */
    const sendWhole = (sent: Filled) =>
      send(sent).catch((error: Error) => {
        if (sent.method !== 'GET' || error.message !== 'aborted') throw error
        return send(sent)
      })
    const attempt = async (draft: Draft) => {
      const sent = fill(world, draft)
      const found = await sendWhole(sent).then(
        (answer) => {
          statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1)
          if (answer.status < 300) answered.add(draft.operation)
          learn(world, draft, sent, answer)
          return judge(draft, sent, answer)
        },
        (error: Error) => [`no answer: ${error.message}`],
      )
      for (const fault of found) {
        const what = `${draft.operation.method} ${draft.operation.path}: ${fault}`
        if (!faults.has(what)) faults.set(what, show(draft, sent))
      }
    }
    const queue = withFewErasures(draftsOf(requests))
    await Promise.all(
      Array.from({ length: AT_ONCE }, async () => {
        for (const draft of queue) await attempt(draft)
      }),
    )
    close()

    expect([...faults].map(([fault, request]) => `${fault}\n    ${request}`)).toEqual([])
    expect((await server.call('GET', '/healthz', undefined, { 'x-hl-api-key': '' })).status).toBe(200)
    expect(server.logged.filter(({ level }) => (level as number) >= 50)).toEqual([])
    // Requests that are all refused prove nothing.
    if (REQUESTS >= 1_500) expect(answered.size).toBeGreaterThan((document.operations.length * 3) / 4)
    expect(statuses.get(200)).toBeGreaterThan(REQUESTS / 10)
  })
})

/** As many requests as are asked for, some at a time: they are larger than what they are made of. */
function* draftsOf(requests: fc.Arbitrary<Draft>): Generator<Draft> {
  for (let made = 0; made < REQUESTS; made += AT_A_TIME) {
    yield* fc.sample(requests, { seed: SEED + made, numRuns: Math.min(AT_A_TIME, REQUESTS - made) })
  }
}

/** Who erases in a loop waits for the answers, a minute and more on PostgreSQL: some show what there is to see. */
function* withFewErasures(drafts: Iterable<Draft>): Generator<Draft> {
  let erasures = 0
  for (const draft of drafts) {
    const isErasure = draft.method === 'DELETE' && /^(\/\w+)?\/users\/|[?&]erase=/.test(draft.target)
    if (!isErasure || ++erasures <= MOST_ERASURES) yield draft
  }
}

/** What an answer shows is what later requests ask for. */
function learn({ organizations }: World, { sender, operation }: Draft, { parent }: Filled, answer: RawAnswer): void {
  // The list of keys would make the keys of this test ones that it revokes; a file is what somebody has made up.
  if (operation.path === '/api-keys' && operation.method === 'GET') return
  if (operation.path.endsWith('/{attachmentId}')) return
  const text = answer.bytes.toString('utf8')
  const type = answer.headers['content-type'] ?? ''
  const events = type.startsWith('text/event-stream') ? parseSse(text).map(({ data }) => data) : []
  const pieces =
    type.startsWith('application/json') && text !== '' ? [text] : events.filter((data) => data !== '[DONE]')
  for (const piece of pieces) harvest(organizations[sender.organization], JSON.parse(piece), parent || null)
}

/** The request, to be made again by hand. */
function show({ sender }: Draft, { method, target, headers, body }: Filled): string {
  const { 'x-hl-api-key': _, authorization: __, ...others } = headers
  const text = JSON.stringify(body?.toString('latin1').slice(0, 600) ?? '')
  return `${method} ${target.slice(0, 300)} key=${sender.organization}/${sender.key} ${JSON.stringify(others)} ${text}`
}
