import { afterAll, beforeAll, expect, test } from 'vitest'
import { createPersona, expectError, type Json, type RunningApp, startApp } from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'

type Conversation = Json & {
  conversationId: string
  chatMessagesCount: number
  chatMessages: { role: string; content: string; messageId: string }[]
}

const HEADER = 'x-dramatis-unresolved-variables'

onEveryDatabase('templates', (kind) => {
  let server: RunningApp
  beforeAll(async () => {
    server = await startApp(kind)
  })
  afterAll(() => server.close())

  const start = async (persona: Json, replacements: unknown, more: Json = {}) => {
    const { personaId } = await createPersona(server, persona)
    return server.call<Conversation>('POST', '/conversations/persona', { personaId, replacements, ...more })
  }
  const texts = ({ chatMessages }: Conversation) => chatMessages.map(({ content }) => content)

  test('take their values from the replacements, as each kind of value prints', async () => {
    const personaText =
      '{{text}}|{{ spaced }}|{{  spaced}}|{{number}}|{{yes}}|{{no}}|{{nothing}}|{{object}}|{{list}}|{{empty}}|{{text}}'
    const replacements = {
      text: 'word',
      spaced: 'a b',
      number: -1.5,
      yes: true,
      no: false,
      nothing: null,
      empty: '',
      object: { a: [1, 'x', null], b: { c: 'ü' } },
      list: [1, [2]],
      unused: 'x',
    }
    const { body, headers } = await start({ personaText, personaGreeting: 'Hi {{text}}' }, replacements)
    expect(texts(body)).toEqual([
      'word|a b|a b|-1.5|true|false||{"a":[1,"x",null],"b":{"c":"ü"}}|[1,[2]]||word',
      'Hi word',
    ])
    expect(headers.get(HEADER)).toBeNull()
    const read = await server.call<Conversation>('GET', `/conversations/${body.conversationId}`)
    expect(read.body).toEqual(body)
  })

  test('are filled in one pass', async () => {
    const { body } = await start(
      { personaText: '{{a}} {{b}}', personaGreeting: null },
      { a: '{{b}}', b: '{{a}} $& $1 \\' },
    )
    expect(texts(body)).toEqual(['{{b}} {{a}} $& $1 \\'])
  })

  test('leave what is no variable as it is', async () => {
    const personaText = '{name} {{}} {{ }} { {name} } }} {{ {{{name}}} {{na me}} {{a.b}} {{ключ}} {{1}}'
    const { body } = await start(
      { personaText },
      { name: 'Ada', 'na me': 'N M', 'a.b': 'dot', ключ: 'ключ!', 1: 'one' },
    )
    expect(texts(body)[0]).toBe('{name} {{}} {{ }} { {name} } }} {{ {Ada} N M dot ключ! one')
  })

  test('leave code, JSON, style sheets and other templates as they are, and what a backslash stands before', async () => {
    const personaText = [
      'p{{color: red}} <p style={{ margin: 0 }}> {{"a": 1}} {{ user.name }} {{ price | round(2) }} {{#if a}}{{/if}}',
      '{{> part}} {{x if y else z}} {{ $t("key") }} {{!-- no --}} {{% raw %}} {{= a }}',
      'C:\\dir \\{{name}} \\\\{{name}} {{name}}',
    ].join('\n')
    const { body, headers } = await start({ personaText, personaGreeting: '\\{{ name }}' }, { name: 'Ada' })
    expect(texts(body)).toEqual([
      personaText.replace('\\{{name}} \\\\{{name}} {{name}}', '{{name}} \\Ada Ada'),
      '{{ name }}',
    ])
    expect(headers.get(HEADER)).toBeNull()
  })

  test('know nothing of what JavaScript objects have by nature', async () => {
    const { body, headers } = await start(
      { personaText: '[{{constructor}}{{toString}}{{hasOwnProperty}}]', personaGreeting: null },
      {},
    )
    expect(texts(body)).toEqual(['[]'])
    expect(headers.get(HEADER)?.split(', ')).toEqual(['constructor', 'toString', 'hasOwnProperty'])
  })

  test('use defaults, demand what is required, and list what is left open', async () => {
    const variables = {
      withDefault: { default: 'the default' },
      falsy: { default: 0 },
      both: { default: { a: 1 }, required: true },
      nullDefault: { default: null },
      needed: { required: true },
      alsoNeeded: { required: true, description: 'Also' },
    }
    const persona = {
      personaText: '{{withDefault}}|{{falsy}}|{{both}}|{{nullDefault}}|{{needed}}|{{alsoNeeded}}|{{open}}|{{needed}}',
      personaGreeting: '{{open}}{{other-open}}{{needed}}',
      personaConfiguration: { variables },
    }
    const full = await start(persona, { needed: 'n', alsoNeeded: '' })
    expect(texts(full.body)).toEqual(['the default|0|{"a":1}||n|||n', 'n'])
    expect(full.headers.get(HEADER)?.split(', ').map(decodeURIComponent)).toEqual(['open', 'other-open'])
    const given = await start(persona, {
      needed: null,
      alsoNeeded: 'x',
      withDefault: null,
      falsy: '',
      both: 'b',
      open: 'o',
      'other-open': 'p',
    })
    expect(texts(given.body)).toEqual(['||b|||x|o|', 'op'])
    expect(given.headers.get(HEADER)).toBeNull()

    const count = async () =>
      (await server.call<{ data: unknown[] }>('GET', '/conversations?pageSize=100')).body.data.length
    const before = await count()
    for (const more of [{}, { message: 'Hi' }, { message: 'Hi', stream: true }]) {
      const error = expectError(await start(persona, { open: 'x' }, more), 'unprocessable_entity')
      expect(error.details.map(({ field }) => field).sort()).toEqual(['replacements.alsoNeeded', 'replacements.needed'])
      expect(error.message).toContain('needed')
    }
    expectError(await start(persona, undefined), 'unprocessable_entity')
    expect(await count()).toBe(before)
  })

  test('list names of any letters in a header, on streams too', async () => {
    const persona = { personaText: '{{имя}} {{a,b}} {{x\ny}} {{😀}}', aiSystem: 'rehearsal', model: 'rehearsal' }
    const names = ['имя', 'a,b', 'x\ny', '😀']
    const variables = Object.fromEntries(names.map((name) => [name, {}]))
    const { personaId } = await createPersona(server, {
      ...persona,
      personaGreeting: null,
      personaConfiguration: { variables },
    })
    for (const more of [{}, { message: 'Hi' }, { message: 'Hi', stream: true }]) {
      const answer = await server.call('POST', '/conversations/persona', { personaId, ...more })
      expect(answer.status).toBe(200)
      expect(answer.headers.get(HEADER)?.split(', ').map(decodeURIComponent)).toEqual(names)
    }
  })

  test('many open variables do not break the answer', async () => {
    const names = Array.from({ length: 3_000 }, (_, i) => `variable-number-${i}`)
    const { personaId } = await createPersona(server, { personaText: names.map((name) => `{{${name}}}`).join('') })
    const answer = await server.call('POST', '/conversations/persona', { personaId })
    expect(answer.status).toBe(200)
  })

  test('cannot be made to grow without end', async () => {
    const personaText = '{{a}}'.repeat(20_000)
    const answer = await start({ personaText, personaGreeting: null }, { a: 'x'.repeat(200_000) })
    expectError(answer, 'unprocessable_entity')
  })

  test('are the system message of a general conversation too', async () => {
    const body = { aiSystem: 'rehearsal', model: 'rehearsal', systemMessage: 'You are {{name}}{{open}}' }
    const general = await server.call<Conversation>('POST', '/conversations', {
      ...body,
      replacements: { name: 'Ada' },
    })
    expect(texts(general.body)).toEqual(['You are Ada'])
    expect(general.headers.get(HEADER)).toBe('open')
    const needed = { ...body, configuration: { variables: { name: { required: true } } } }
    const error = expectError(await server.call('POST', '/conversations', needed), 'unprocessable_entity')
    expect(error.details.map(({ field }) => field)).toEqual(['replacements.name'])
  })

  test('that come out empty leave no message', async () => {
    const { body } = await start({ personaText: '{{a}}', personaGreeting: '{{a}}' }, { a: '' })
    expect(body).toMatchObject({ chatMessages: [], chatMessagesCount: 0 })
    const none = await start({ personaText: null, personaGreeting: null }, {})
    expect(none.body).toMatchObject({ chatMessages: [], chatMessagesCount: 0, chatStarted: false })
  })

  test('of a secret persona never leave the server once they are rendered', async () => {
    const { personaId } = await createPersona(server, {
      personaText: 'The recipe of {{name}}',
      personaGreeting: 'Hello {{name}}',
      isSecret: true,
      personaConfiguration: { rehearsal: { text: 'ok' } },
    })
    const body = { personaId, replacements: { name: 'Ada' }, externalUserId: 'secret-user' }
    const started = await server.call<Conversation>('POST', '/conversations/persona', body)
    expect(started.body).toMatchObject({
      chatMessagesCount: 1,
      chatMessages: [{ role: 'assistant', content: 'Hello Ada' }],
    })
    const c = `/conversations/${started.body.conversationId}`
    const answers = [
      started,
      await server.call('POST', '/conversations/persona', { ...body, message: 'Hi' }),
      await server.call('POST', '/conversations/persona', { ...body, message: 'Hi', stream: true }),
      await server.call('GET', c),
      await server.call('PATCH', `${c}/chat`, { message: 'Hi' }),
      await server.call('PATCH', `${c}/set-active`, { isActive: true }),
      await server.call('PATCH', `${c}/update`, { metadata: {} }),
      await server.call('PATCH', `${c}/set-score`, { score: 1 }),
      await server.call('PATCH', `${c}/set-score/${started.body.chatMessages[0]?.messageId}`, { score: 1 }),
      await server.call('GET', '/conversations?includeMessages=true'),
      await server.call('GET', '/conversations/user/secret-user?includeMessages=true'),
      await server.call('GET', `/conversations/persona/${personaId}?includeMessages=true`),
    ]
    for (const answer of answers) {
      expect(answer.status).toBe(200)
      expect(answer.text).not.toContain('recipe')
    }
    expect((await server.call<Conversation>('GET', c)).body.chatMessagesCount).toBe(3)

    // It is read live, both ways; what was hidden is then there, and can be spoken of.
    await server.call('PATCH', `/personas/${personaId}`, { isSecret: false })
    const open = (await server.call<Conversation>('GET', c)).body
    expect(open.chatMessagesCount).toBe(4)
    expect(open.chatMessages[0]).toMatchObject({ role: 'system', content: 'The recipe of Ada' })
    const systemId = open.chatMessages[0]?.messageId
    expect((await server.call('PATCH', `${c}/set-score/${systemId}`, { score: 1 })).status).toBe(200)
    await server.call('PATCH', `/personas/${personaId}`, { isSecret: true })
    expect((await server.call<Conversation>('GET', c)).body).toMatchObject({ chatMessagesCount: 3 })
    expectError(await server.call('PATCH', `${c}/set-score/${systemId}`, { score: 2 }), 'not_found')
    const listed = await server.call<{ data: Conversation[] }>('GET', `/conversations/persona/${personaId}`)
    const counts = Object.fromEntries(
      listed.body.data.map(({ conversationId, chatMessagesCount }) => [conversationId, chatMessagesCount]),
    )
    expect(counts[started.body.conversationId]).toBe(3)
  })
})
