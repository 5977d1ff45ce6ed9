import { setTimeout as wait } from 'node:timers/promises'
import { SCOPES, type Scope } from '../../../server/src/http/requests/caller.ts'
import { isJsonObject } from '../../../server/src/lib/json.ts'
import { type Answer, createOrganization, type Json, type RunningApp } from '../app.ts'
import type { Draft, Sender } from './requests.ts'

type Key = { secret: string; scopes: ReadonlySet<string> }

export type FuzzedOrganization = {
  id: string
  keys: Partial<Record<Sender['key'], Key>>
  /** Stands in everything that this organization has; no answer to the other may have it. */
  canary: string
  /** Never in any answer, whoever asks. */
  secrets: string[]
  /** Ids and tokens that have been seen, newest last, by the name of their field. */
  pool: Map<string, string[]>
}

/** A request as it goes out. */
export type Filled = {
  method: string
  target: string
  headers: Record<string, string>
  body: Buffer | null
  isForeign: boolean
  /** The first id in the path. */
  parent: string
}

export type World = { organizations: readonly [FuzzedOrganization, FuzzedOrganization] }

const POOL = 200
const READER: Scope[] = ['conversations:read', 'personas:read']
const WRITER: Scope[] = ['conversations:write', 'personas:write']

/** Two organizations on one server, each with keys of all kinds and one of everything there is. */
export async function createWorld(server: RunningApp): Promise<World> {
  const make = (name: string) => createFuzzed(server, name)
  return { organizations: [await make('first'), await make('second')] }
}

async function createFuzzed(server: RunningApp, name: string): Promise<FuzzedOrganization> {
  const { id, key } = await createOrganization(server, name)
  const canary = `canary-${name}-${crypto.randomUUID().slice(0, 8)}`
  const admin = { 'x-hl-api-key': key }
  const organization: FuzzedOrganization = {
    id,
    canary,
    keys: {},
    secrets: [`secret-value-${canary}`],
    pool: new Map([['organizationId', [id]]]),
  }
  const call = async (method: string, path: string, body?: Json): Promise<Answer> => {
    const answer = await server.call(method, path, body, admin)
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`)
    harvest(organization, answer.body)
    return answer
  }

  const keys = { all: SCOPES, bearer: SCOPES, reader: READER, writer: WRITER, scoreless: ['reports:read' as Scope] }
  for (const [kind, scopes] of Object.entries(keys)) {
    const { body } = await server.call('POST', '/api-keys', { name: `${kind} ${canary}`, scopes }, admin)
    organization.keys[kind as Sender['key']] = { secret: body['key'] as string, scopes: new Set(scopes) }
  }
  const { apiKeys } = server.app.services
  const expired = await apiKeys.create(id, { name: canary, scopes: SCOPES, expiresAt: Date.now() + 50 })
  while (await apiKeys.authenticate(expired.secret)) await wait(10)
  organization.keys.expired = { secret: expired.secret, scopes: new Set() }
  const revoked = await server.call('POST', '/api-keys', { name: canary }, admin)
  await call('DELETE', `/api-keys/${revoked.body['id']}`)
  organization.keys.revoked = { secret: revoked.body['key'] as string, scopes: new Set() }
  await call('POST', '/api-keys', { name: `to be revoked ${canary}` })

  await call('PUT', '/secrets/KEY', { value: organization.secrets[0] })
  const tools = [{ type: 'client', name: 'look', description: canary, inputSchema: { type: 'object' } }]
  const rehearsal = { toolCalls: [[{ name: 'look', input: { what: canary } }]], text: `Answer ${canary}` }
  for (const [personaName, isSecret, configuration] of [
    ['Open', false, { rehearsal: { text: `Reply ${canary}` } }],
    ['Secret', true, { rehearsal: { text: 'Reply' } }],
    ['Tools', false, { rehearsal, tools }],
  ] as const) {
    const persona = await call('POST', '/personas', {
      personaName,
      isSecret,
      personaDescription: canary,
      personaText: `You are {{name}}, ${canary}.`,
      personaGreeting: canary,
      aiSystem: 'rehearsal',
      model: 'rehearsal',
      personaConfiguration: configuration,
    })
    const { personaId } = persona.body
    const { body } = await call('POST', '/conversations/persona', {
      personaId,
      replacements: { name: canary },
      metadata: { canary },
      externalUserId: 'user-1',
      message: `Hello ${canary}`,
    })
    const conversation = `/conversations/${body['conversationId']}`
    await call('GET', `${conversation}/runs`)
    const headers = { ...admin, 'content-type': 'text/plain' }
    const file = await server.call('POST', `${conversation}/attachments`, `A file with ${canary}`, headers)
    harvest(organization, file.body, body['conversationId'] as string)
    const again = await call('PATCH', `${conversation}/chat`, { message: `And now? ${canary}` })
    harvest(organization, again.body, body['conversationId'] as string)
  }
  for (const rehearsal of [{ failure: 'error' }, { text: 'a b c d', failAtToken: 2 }]) {
    const configuration = { rehearsal }
    await call('POST', '/conversations', { aiSystem: 'rehearsal', model: 'rehearsal', configuration })
  }
  harvest(organization, (await createArchived(server, organization)).body)
  return organization
}

/** A conversation that is so long that most of it is in an archive. */
async function createArchived(server: RunningApp, { canary, keys }: FuzzedOrganization): Promise<Answer> {
  const headers = { 'x-hl-api-key': keys.all?.secret ?? '' }
  const messages = Array.from({ length: 130 }, (_, i) => ({
    role: i % 2 === 0 ? 'user' : 'assistant',
    content: `${i} ${canary}`,
  }))
  const started = { aiSystem: 'rehearsal', model: 'rehearsal', messages }
  const { body } = await server.call('POST', '/conversations', started, headers)
  await server.app.archiver.round()
  return server.call('GET', `/conversations/${body['conversationId']}`, undefined, headers)
}

/** Keeps the ids of an answer for later requests. `parent` is what they belong to: a conversation or a persona. */
export function harvest(organization: FuzzedOrganization, value: unknown, parent: string | null = null): void {
  if (Array.isArray(value)) for (const item of value) harvest(organization, item, parent)
  if (!isJsonObject(value)) return
  const inside = [value['conversationId'], value['personaId'], parent].find((id) => typeof id === 'string') as
    | string
    | null
  for (const [name, member] of Object.entries(value)) {
    if (typeof member !== 'string') harvest(organization, member, inside)
    // What a key is called `id` in is the answer to its creation; the keys of this world are never revoked by it.
    else if (name === 'id' && 'key' in value) keep(organization, 'keyId', member)
    else if (name === 'chatMessagesBlobUri') keep(organization, 'transcript', member.replace(/^https?:\/\/[^/]+/, ''))
    else if (/Id$|^continuationToken$/.test(name) && member !== '' && member !== NIL && member.length < 300) {
      keep(organization, name, member)
      if (inside && member !== inside) keep(organization, `${inside}/${name}`, member)
    }
  }
}

function keep({ pool }: FuzzedOrganization, kind: string, id: string): void {
  const known = pool.get(kind) ?? []
  if (!known.includes(id)) known.push(id)
  if (known.length > POOL) known.shift()
  pool.set(kind, known)
}

const NIL = '00000000-0000-0000-0000-000000000000'
const NOWHERE = '01890000-0000-7000-8000-000000000000'

/** A draft with ids in the place of markers, and the key of its sender. */
export function fill({ organizations }: World, draft: Draft): Filled {
  const own = organizations[draft.sender.organization]
  const foreign = organizations[1 - draft.sender.organization] as FuzzedOrganization
  let isForeign = false
  let parent = ''
  const replaceIds = (text: string, inPath: boolean) =>
    text.replaceAll(/@id:(\w+):(own|foreign):(\d+)@/g, (_all, kind: string, whose: string, n: string) => {
      const { pool } = whose === 'own' ? own : foreign
      // Mostly what belongs to the conversation or persona that stands before it in the path.
      const children = Number(n) % 6 === 0 ? undefined : pool.get(`${parent}/${kind}`)
      const known = children ?? pool.get(kind) ?? []
      // Most often one of the newest, which is most often still there.
      const newest = Math.max(1, Math.min(known.length, children ? 6 : 25))
      const found = known[known.length - 1 - (Number(n) % newest)]
      if (inPath && whose === 'foreign' && found) isForeign = true
      if (inPath && parent === '' && found) parent = found
      return found ?? NOWHERE
    })
  const [path = '', ...query] = draft.target.split('?')
  const target = [replaceIds(path, true), ...query.map((text) => replaceIds(text, false))].join('?')
  const headers: Record<string, string> = { ...draft.headers, ...keyHeaders(own, draft.sender.key) }
  for (const [name, value] of Object.entries(headers)) headers[name] = replaceIds(value, false)
  const body =
    typeof draft.body === 'string'
      ? Buffer.from(
          replaceIds(draft.body, false).replaceAll(
            /"@verbatim:(.*?)@"/g,
            (_all, text: string) => JSON.parse(`"${text}"`) as string,
          ),
        )
      : draft.body
  return {
    method: draft.method,
    target: target.startsWith('/') ? target : `/${target}`,
    headers,
    body,
    isForeign,
    parent,
  }
}

function keyHeaders(organization: FuzzedOrganization, kind: Sender['key']): Record<string, string> {
  const secret = organization.keys[kind]?.secret
  if (kind === 'bearer') return { authorization: `Bearer ${secret}` }
  if (secret) return { 'x-hl-api-key': secret }
  if (kind === 'unknown') return { 'x-hl-api-key': `dk_${'x'.repeat(40)}` }
  if (kind === 'odd') return { authorization: 'Basic YTpi', 'x-hl-api-key': '\u00e9'.repeat(500) }
  return {}
}
