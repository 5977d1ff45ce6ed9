import { test } from 'vitest'
import { ADMIN_KEY, serve } from './support/app.ts'
import { onEveryDatabase } from './support/databases.ts'
import { createDistantClient } from './support/distant-client.ts'
import { longestStall } from './support/stall-meter.ts'

onEveryDatabase('stalls', (kind) => {
  test('rough', { timeout: 600_000 }, async () => {
    const place = await kind.create()
    const server = await serve(place, {})
    const client = createDistantClient()
    const send = (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) =>
      client.send({
        method,
        url: server.url + path,
        headers: {
          'x-hl-api-key': ADMIN_KEY,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body === undefined
          ? {}
          : { body: body instanceof Uint8Array || typeof body === 'string' ? body : JSON.stringify(body) }),
      })
    const report = async (name: string, act: () => Promise<{ status: number; bytes: number; text: string }>) => {
      let got = { status: 0, bytes: 0, text: '' }
      const start = performance.now()
      const stall = await longestStall(async () => {
        got = await act()
      })
      console.log(
        `${kind.name} ${name}: ${stall.ms.toFixed(1)} ms cpu, ${stall.loops.toFixed(1)} loops; ${(performance.now() - start).toFixed(0)} ms; ${got.status} ${got.bytes} ${got.status >= 400 ? got.text.slice(0, 200) : ''}`,
      )
      return got
    }
    const id = (t: string, name: string) => new RegExp(`"${name}":"([^"]+)"`).exec(t)?.[1] ?? ''
    const rehearsal = { aiSystem: 'rehearsal', model: 'rehearsal' }
    const persona = await report('create persona', () =>
      send('POST', '/personas', {
        personaName: 'a',
        personaDescription: 'b',
        ...rehearsal,
        personaText: 'é'.repeat(500_000),
      }),
    )
    const pid = id(persona.text, 'personaId')
    await report('persona of braces', () =>
      send('POST', '/personas', {
        personaName: 'a',
        personaDescription: 'b',
        ...rehearsal,
        personaText: '{'.repeat(500_000),
      }),
    )
    const vars = Array.from({ length: 60_000 }, (_, i) => `{{v${i.toString(36)}}}`)
      .join('')
      .slice(0, 500_000)
    const pv = await report('persona of variables', () =>
      send('POST', '/personas', { personaName: 'a', personaDescription: 'b', ...rehearsal, personaText: vars }),
    )
    await report('conversation of variables', () =>
      send('POST', '/conversations/persona', { personaId: id(pv.text, 'personaId') }),
    )
    await report('wrong items', () =>
      send('POST', '/conversations', `{"aiSystem":"rehearsal","model":"m","messages":[${'1,'.repeat(500_000)}1]}`),
    )
    await report('wrong ids', () => send('POST', '/personas', `{"dataspaceIds":[${'"",'.repeat(340_000)}1]}`))
    await report('wrong tools', () =>
      send('POST', '/personas', {
        personaName: 'a',
        personaDescription: 'b',
        ...rehearsal,
        personaConfiguration: { variables: Object.fromEntries(Array.from({ length: 80_000 }, (_, i) => [`v${i}`, 1])) },
      }),
    )
    await report('keys', () =>
      send('POST', '/personas', `{${Array.from({ length: 90_000 }, (_, i) => `"k${i}":1`).join()}}`),
    )
    await report('keys esc', () =>
      send('POST', '/personas', `{"\\u0041":1,${Array.from({ length: 90_000 }, (_, i) => `"k${i}":1`).join()}}`),
    )
    await report('deep', () => send('POST', '/personas', '{"a":'.repeat(170_000) + '1' + '}'.repeat(170_000)))
    await report('deep brackets', () => send('POST', '/personas', `{"a":${'['.repeat(500_000)}${']'.repeat(500_000)}}`))
    await report('flat brackets', () => send('POST', '/personas', `{"a":[${'[],'.repeat(340_000)}[]]}`))
    await report('flat objects esc', () => send('POST', '/personas', `{"a":["\\u0041",${'{},'.repeat(340_000)}{}]}`))
    await report('metadata arrays', () =>
      send('POST', '/personas', {
        personaName: 'a',
        personaDescription: 'b',
        ...rehearsal,
        personaMetadata: { a: Array.from({ length: 300_000 }, () => 1) },
      }),
    )
    await report('secret ws', () =>
      send('POST', '/personas', {
        personaName: 'a',
        personaDescription: 'b',
        ...rehearsal,
        personaConfiguration: {
          tools: [
            {
              type: 'http',
              name: 'x',
              description: 'd',
              inputSchema: { type: 'object' },
              method: 'GET',
              url: 'http://example.org',
              headers: { a: `{{secret:${' '.repeat(1_000)}` },
            },
          ],
        },
      }),
    )
    await report('stop list', () =>
      send('POST', '/personas', {
        personaName: 'a',
        personaDescription: 'b',
        ...rehearsal,
        personaConfiguration: { stop: Array.from({ length: 300_000 }, () => '') },
      }),
    )
    const history = await report('history of 1 MiB', () =>
      send('POST', '/conversations', {
        ...rehearsal,
        messages: Array.from({ length: 10 }, (_, i) => ({
          role: i % 2 ? 'assistant' : 'user',
          content: 'x'.repeat(100_000),
        })),
      }),
    )
    const cid = id(history.text, 'conversationId')
    await report('history of 10000', () =>
      send('POST', '/conversations', {
        ...rehearsal,
        messages: Array.from({ length: 10_000 }, (_, i) => ({
          role: i % 2 ? 'assistant' : 'user',
          content: 'x'.repeat(50),
        })),
      }),
    )
    await report('message', () => send('POST', `/conversations/${cid}/chat`, { message: 'é'.repeat(100_000) }))
    await report('message json array', () =>
      send('POST', `/conversations/${cid}/chat-http2`, { message: 'é '.repeat(50_000) }),
    )
    for (let i = 0; i < 60; i++)
      await send('POST', `/personas/${pid}`, { ...rehearsal, personaText: String(i).padEnd(500_000, 'é') })
    await report('get persona, 60 versions', () => send('GET', `/personas/${pid}`))
    await report('patch persona, 60 versions', () => send('PATCH', `/personas/${pid}`, { personaName: 'c' }))
    for (let i = 0; i < 60; i++)
      await send('POST', '/personas', {
        personaName: 'a',
        personaDescription: 'b',
        ...rehearsal,
        personaText: String(i).padEnd(500_000, 'é'),
      })
    await report('list personas 20', () => send('GET', '/personas?pageSize=20'))
    await report('list personas 100', () => send('GET', '/personas?pageSize=100'))
    await report('list personas minimal', () => send('GET', '/personas/minimal?pageSize=100'))
    const text = 'é'.repeat(100_000)
    const { database, ids } = server.app.services
    const ins = (conversationId: string, count: number) => {
      const org = orgOf
      return Array.from({ length: count }, () => ({
        sql:
          kind.name === 'sqlite'
            ? 'insert into message (organization_id, conversation_id, id, role, content, prompt_tokens, completion_tokens, created_at) values (?,?,?,?,?,0,0,?)'
            : 'insert into message (organization_id, conversation_id, id, role, content, prompt_tokens, completion_tokens, created_at) values ($1,$2,$3,$4,$5,0,0,$6)',
        parameters: [org, conversationId, ids.next(), 'user', text, Date.now()],
      }))
    }
    const orgOf = (await server.app.services.organizations.first())?.id ?? ''
    for (let i = 0; i < 10; i++) await database.write(ins(cid, 50))
    await database.write([
      {
        sql:
          kind.name === 'sqlite'
            ? 'update conversation set message_count = message_count + 500 where id = ?'
            : 'update conversation set message_count = message_count + 500 where id = $1',
        parameters: [cid],
      },
    ])
    await report('get conversation 500 x 100000', () => send('GET', `/conversations/${cid}`))
    await report('set-active', () => send('PATCH', `/conversations/${cid}/set-active`, { isActive: true }))
    await report('export jsonl', () => send('GET', `/conversations/${cid}/export`))
    await report('export markdown', () => send('GET', `/conversations/${cid}/export?format=markdown`))
    await report('export openai', () => send('GET', `/conversations/${cid}/export?format=openai`))
    for (let i = 0; i < 40; i++)
      await send('POST', '/conversations', {
        ...rehearsal,
        messages: Array.from({ length: 10 }, (_, i) => ({
          role: i % 2 ? 'assistant' : 'user',
          content: 'x'.repeat(100_000),
        })),
      })
    await report('list with messages', () => send('GET', '/conversations?includeMessages=true&pageSize=100'))
    await report('list without messages', () => send('GET', '/conversations?pageSize=100'))
    const cfg = { ...rehearsal, configuration: { x: 'é'.repeat(500_000) } }
    for (let i = 0; i < 40; i++) await send('POST', '/conversations', cfg)
    await report('list with configuration', () => send('GET', '/conversations?pageSize=100'))
    const mid = /"messageId":"([^"]+)"/.exec((await send('GET', `/conversations/${cid}`)).text)?.[1]
    for (let i = 0; i < 100; i++)
      await send('PATCH', `/conversations/${cid}/set-active`, { isActive: true })
        .then(
          () => undefined,
          () => undefined,
        )
        .finally(() => undefined)
        .then(() => (i > 3 ? Promise.reject(0) : 0))
        .catch(() => 0)
    await report('feedback', () =>
      send('PATCH', `/conversations/${cid}/set-score/${mid}`, {
        score: 1,
        comments: 'é'.repeat(10_000),
        tags: Array.from({ length: 100 }, () => 'é'.repeat(256)),
      }),
    )
    const long = await send('POST', '/conversations', {
      ...rehearsal,
      configuration: { rehearsal: { text: 'word '.repeat(40_000) } },
    })
    const lid = id(long.text, 'conversationId')
    const reply = await report('long reply', () => send('POST', `/conversations/${lid}/chat`, { message: 'x' }))
    const rid =
      id(reply.text, 'runId') || /"runId":"([^"]+)"/.exec((await send('GET', `/conversations/${lid}/runs`)).text)?.[1]
    await report('events replay', () => send('GET', `/conversations/${lid}/runs/${rid}/events`))
    await report('runs', () => send('GET', `/conversations/${lid}/runs`))
    const att = (type: string, bytes: Uint8Array) =>
      send('POST', `/conversations/${lid}/attachments?name=x`, bytes, { 'content-type': type })
    const MB10 = 10 * 1024 * 1024
    await report('attachment json brackets', () =>
      att('application/json', Buffer.from('['.repeat(MB10 / 2) + ']'.repeat(MB10 / 2))),
    )
    await report('attachment json flat', () =>
      att('application/json', Buffer.from(`[${'[],'.repeat(MB10 / 3 - 2)}[]]`)),
    )
    await report('attachment json objects', () =>
      att('application/json', Buffer.from(`[${'{"a":1},'.repeat(MB10 / 8 - 2)}[]]`)),
    )
    await report('attachment text', () => att('text/plain', Buffer.from('é,'.repeat(MB10 / 3 - 1))))
    await report('attachment pdf', () =>
      att(
        'application/pdf',
        Buffer.concat([Buffer.from('%PDF-1.4'), Buffer.from('/Type /Pages '.repeat(MB10 / 13 - 2))]),
      ),
    )
    await report('attachment pdf ws', () =>
      att('application/pdf', Buffer.concat([Buffer.from('%PDF-1.4'), Buffer.from('/Type' + ' '.repeat(MB10 - 20))])),
    )
    await report('attachment png', () =>
      att('image/png', Buffer.concat([Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), Buffer.alloc(MB10 - 20)])),
    )
    await client.close()
    await server.close()
    await place.remove()
  })
})
