import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ADMIN_KEY, type Json } from '../support/app.ts'
import { type DatabaseKind, onEveryDatabase, type TestDatabase } from '../support/databases.ts'
import { createHonestProvider, type HonestProvider, type Outcome } from '../support/honest-provider.ts'
import { type ServerProcess, startServer } from '../support/process.ts'
import { type ProviderServer, startProviderServer } from '../support/provider-server.ts'
import { startToolServer, type ToolServer } from '../support/tool-server.ts'

const BUDGET = 50_000
/** How much less than the provider the estimate counts at worst, for ordinary text. */
const ERROR = 0.1
/** Tokens that were on their way when a call was stopped, for each: a provider writes on until it notices. */
const ON_THE_WAY = 32

const SCHEMA = {
  type: 'object',
  properties: Object.fromEntries(
    Array.from({ length: 40 }, (_, n) => [
      `field_${n}`,
      { type: 'string', description: `What stands in the field ${n}.` },
    ]),
  ),
}

/** Random numbers that a seed decides. */
function createDice(seed: number) {
  let state = seed >>> 0
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
  return {
    upTo: (most: number) => Math.floor(next() * most),
    pick: <T>(...choices: readonly T[]): T => choices[Math.floor(next() * choices.length)] as T,
  }
}
type Dice = ReturnType<typeof createDice>

type Caller = (method: string, path: string, body?: unknown) => Promise<{ status: number; body: Json }>

onEveryDatabase('somebody who wants more than the daily budget', (kind: DatabaseKind) => {
  let provider: ProviderServer
  let service: ToolServer
  let place: TestDatabase
  let servers: ServerProcess[] = []
  let honest: HonestProvider
  const nodes = kind.name === 'postgres' ? 2 : 1

  const start = async () => {
    const env = {
      OPENAI_COMPATIBLE_BASE_URL: `${provider.url}/v1`,
      OPENAI_COMPATIBLE_MODEL: 'm',
      DRAMATIS_LEASE_MS: '500',
      DRAMATIS_ALLOW_PRIVATE_HOSTS: '127.0.0.1',
      DRAMATIS_TITLE_MODEL: 'openai-compatible:m',
    }
    servers = await Promise.all(Array.from({ length: nodes }, () => startServer(place, env)))
  }
  const kill = async () => {
    for (const server of servers) server.kill('SIGKILL')
    await Promise.all(servers.map(({ ended }) => ended))
  }
  const callerOf =
    (key: string, dice: Dice): Caller =>
    async (method, path, body) => {
      const server = dice.pick(...servers)
      // A server that is killed meanwhile answers nothing.
      const answer = await server.call(method, path, body, key).catch(() => ({ status: 0, body: {} }))
      return { status: answer.status, body: answer.body as Json }
    }

  beforeAll(async () => {
    ;[provider, service, place] = await Promise.all([startProviderServer(), startToolServer(), kind.create()])
    await start()
  })
  afterAll(async () => {
    await kill()
    await Promise.all([provider.close(), service.close(), place.remove()])
  })

  /** Personas of every kind that makes a call dearer than its text. */
  async function personasOf(admin: Caller): Promise<string[]> {
    const http = {
      type: 'http',
      name: 'look',
      description: 'Looks it up. '.repeat(20),
      inputSchema: SCHEMA,
      method: 'POST',
      url: `${service.url}/look`,
    }
    const format = { type: 'json_schema', json_schema: { name: 'form', schema: SCHEMA } }
    const configurations: Json[] = [
      {},
      { maxTokens: 300 },
      { tools: [http], maxToolSteps: 64 },
      { tools: [http], maxToolSteps: 64, maxTokens: 400, responseFormat: format },
      { responseFormat: format, timeouts: { firstTokenMs: 5, betweenTokensMs: 200 } },
      { fallbacks: Array.from({ length: 3 }, () => ({ aiSystem: 'openai-compatible', model: 'm' })), maxTokens: 500 },
      { contextPolicy: 'summarize', contextWindow: 3_000, maxTokens: 256 },
    ]
    return Promise.all(
      configurations.map(async (personaConfiguration, n) => {
        const made = await admin('POST', '/personas', {
          personaName: `P${n}`,
          personaDescription: 'x',
          personaText: 'Be brief. '.repeat(n * 5),
          personaGreeting: 'Hi',
          aiSystem: 'openai-compatible',
          model: 'm',
          personaConfiguration: { timeouts: { firstTokenMs: 500, betweenTokensMs: 500 }, ...personaConfiguration },
        })
        expect(made.status).toBe(200)
        return made.body['personaId'] as string
      }),
    )
  }

  test('does not get it, whatever is sent, goes wrong, or dies', { timeout: 600_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer(), async (seed) => {
        const dice = createDice(seed)
        let stopped = 0
        honest = createHonestProvider({
          choose: () => {
            const outcome = dice.pick<Outcome>(
              ...(['says', 'says', 'says', 'says', 'calls', 'calls', 'calls', 'refuses'] as const),
              ...(['stops early', 'falls silent', 'never answers'] as const),
            )
            if (outcome !== 'says' && outcome !== 'calls' && outcome !== 'refuses') stopped++
            return {
              outcome,
              mostTokens: 20 + dice.upTo(900),
              delayMs: dice.pick(1, 2, 5),
              saysUsage: dice.pick(true, true, false),
            }
          },
        })
        provider.always(honest.behave)
        const admin = callerOf(ADMIN_KEY, dice)
        const scopes = ['conversations:read', 'conversations:write', 'personas:read']
        const key = await admin('POST', '/api-keys', { name: 'low', scopes, dailyTokens: BUDGET })
        const low = callerOf(key.body['key'] as string, dice)
        const personas = await personasOf(admin)
        const conversations: string[] = []

        async function act(): Promise<void> {
          const id = dice.pick(...conversations)
          const what = dice.pick('start', 'send', 'send', 'send', 'send', 'again', 'edit', 'cancel')
          let answer: Awaited<ReturnType<Caller>>
          if (what === 'start' || id === undefined) {
            answer = await low('POST', '/conversations/persona', { personaId: dice.pick(...personas) })
            if (answer.status === 200) conversations.push(answer.body['conversationId'] as string)
          } else if (what === 'again') answer = await low('POST', `/conversations/${id}/regenerate?onCrash=restart`)
          else if (what === 'cancel') {
            const runs = await low('GET', `/conversations/${id}/runs`)
            const [run] = (runs.body['data'] ?? []) as { runId: string; status: string }[]
            if (run && run.status === 'running') stopped++
            answer = run ? await low('POST', `/conversations/${id}/runs/${run.runId}/cancel`) : runs
          } else if (what === 'edit') {
            const found = await low('GET', `/conversations/${id}`)
            const said = (found.body['chatMessages'] ?? []) as { role: string; messageId: string }[]
            const last = said.findLast(({ role }) => role === 'user')
            answer = last
              ? await low('PATCH', `/conversations/${id}/messages/${last.messageId}`, { content: 'Rather this.' })
              : found
          } else {
            const query = `?onBusy=${dice.pick('reject', 'wait', 'interrupt')}&onCrash=${dice.pick('keep', 'restart')}`
            answer = await low('POST', `/conversations/${id}/chat${query}`, {
              message: 'Tell me of it. '.repeat(1 + dice.upTo(60)),
            })
          }
        }

        for (let phase = 0; phase < 3; phase++) {
          for (let n = 0; n < 5; n++)
            await low('POST', '/conversations/persona', { personaId: dice.pick(...personas) }).then(({ body }) =>
              conversations.push(body['conversationId'] as string),
            )
          const acting = Promise.all(
            Array.from({ length: 6 }, async () => {
              for (let n = 0; n < 6; n++) await act()
            }),
          )
          if (phase < 2) {
            const [sent, after] = [provider.requests.length, 10 + dice.upTo(10)]
            await Promise.race([
              acting,
              expect
                .poll(() => provider.requests.length)
                .toBeGreaterThan(sent + after)
                .catch(() => {}),
            ])
            stopped += 8
            await kill()
            await acting
            await start()
          } else await acting
        }

        // A talk that is made longer until nothing more fits.
        const [last] = conversations
        for (let n = 0; n < 40; n++) {
          const { status } = await low('POST', `/conversations/${last}/chat?onBusy=wait`, {
            message: 'More. '.repeat(100),
          })
          if (status === 429 || status === 422) break
        }
        const used = async () => {
          const list = await admin('GET', '/api-keys')
          const one = (list.body['data'] as Json[]).find(({ id }) => id === key.body['id'])
          return one?.['tokensUsedToday'] as number
        }
        // Everything is over when nothing is booked any more that was only reserved.
        await expect.poll(async () => runsUnderWay(low, conversations)).toBe(0)
        const allowed = BUDGET * (1 + ERROR) + stopped * ON_THE_WAY
        expect(honest.counted()).toBeLessThanOrEqual(allowed)
        expect(await used()).toBeGreaterThanOrEqual((honest.counted() - stopped * ON_THE_WAY) / (1 + ERROR))
        expect(await used()).toBeGreaterThan(BUDGET / 4)
        provider.requests.length = 0
      }),
      { numRuns: 3 },
    )
  })

  async function runsUnderWay(low: Caller, conversations: readonly string[]): Promise<number> {
    const lists = await Promise.all(conversations.map((id) => low('GET', `/conversations/${id}/runs`)))
    const runs = lists.flatMap(({ body }) => (body['data'] ?? []) as { status: string }[])
    return runs.filter(({ status }) => ['accepted', 'running', 'waiting'].includes(status)).length
  }
})
