import { afterAll, beforeAll, expect, test } from 'vitest'
import { createPersona, expectError, type Json, type RunningApp, startApp } from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'

type Version = Json & { personaVersionId: string; personaText: string | null; isActive: boolean }
type Persona = Json & {
  personaId: string
  personaVersionId: string
  defaultVersionId: string
  personaVersions: Version[]
}
type Conversation = Json & { conversationId: string; personaVersionId: string; chatMessages: { content: string }[] }

const NOWHERE = '01890000-0000-7000-8000-000000000000'
const CONTENT = { personaText: 'First', personaGreeting: 'Hello', aiSystem: 'rehearsal', model: 'rehearsal' }

onEveryDatabase('versions of a persona', (kind) => {
  let server: RunningApp
  beforeAll(async () => {
    server = await startApp(kind)
  })
  afterAll(() => server.close())

  const create = async (fields: Json = {}) => (await createPersona(server, { ...CONTENT, ...fields })) as Persona
  const read = async (id: string) => (await server.call<Persona>('GET', `/personas/${id}`)).body
  const patch = (id: string, body: Json) => server.call<Persona>('PATCH', `/personas/${id}`, body)
  const add = (id: string, body: Json) => server.call<Version>('POST', `/personas/${id}`, { ...CONTENT, ...body })
  const post = (id: string, body: Json) => server.call<Version>('POST', `/personas/${id}`, body)
  const start = (personaId: string, more: Json = {}) =>
    server.call<Conversation>('POST', '/conversations/persona', { personaId, ...more })

  test.each<[string, Json]>([
    ['text', { personaText: 'Second' }],
    ['greeting', { personaGreeting: 'Good day' }],
    ['AI system', { aiSystem: 'openai' }],
    ['model', { model: 'another' }],
    ['configuration', { personaConfiguration: { temperature: 1 } }],
    [
      'everything',
      { personaText: 'a', personaGreeting: 'b', aiSystem: 3, model: 'c', personaConfiguration: { topK: 1 } },
    ],
  ])('come to be when the %s is changed', async (_what, change) => {
    const made = await create()
    const changed = (await patch(made.personaId, change)).body
    expect(changed.personaVersions).toHaveLength(2)
    expect(changed.defaultVersionId).not.toBe(made.defaultVersionId)
    expect(changed.personaVersionId).toBe(changed.defaultVersionId)
    const shown = { ...change, ...('aiSystem' in change && change['aiSystem'] === 3 ? { aiSystem: 'anthropic' } : {}) }
    expect(changed).toMatchObject({ ...CONTENT, ...shown })
    expect(
      changed.personaVersions.find(({ personaVersionId }) => personaVersionId === changed.defaultVersionId),
    ).toMatchObject(shown)
    const old = changed.personaVersions.find(({ personaVersionId }) => personaVersionId === made.defaultVersionId)
    expect(old).toEqual(made.personaVersions[0])
    expect((await server.call('GET', `/personas/${made.personaId}/${made.defaultVersionId}`)).body).toEqual(old)
  })

  test.each<[string, Json]>([
    ['the name', { personaName: 'Other', personaDescription: 'Other', personaTags: 'x', imageUrl: 'x' }],
    ['metadata', { personaMetadata: { a: 1 } }],
    ['flags', { isActive: false, isApiEnabled: false, isSecret: true }],
    ['nothing', {}],
    ['content to what it is', CONTENT],
    ['the integer of the same AI system', { aiSystem: 'REHEARSAL' }],
  ])('do not come to be by changing %s', async (_what, change) => {
    const made = await create()
    const changed = (await patch(made.personaId, change)).body
    expect(changed.personaVersions).toEqual(made.personaVersions)
    expect(changed.defaultVersionId).toBe(made.defaultVersionId)
  })

  test('are added, and become the default unless they are inactive', async () => {
    const made = await create()
    const second = await add(made.personaId, { personaText: 'Second', personaMetadata: { note: 'two' } })
    expect(second.body).toMatchObject({
      personaText: 'Second',
      isActive: true,
      personaId: made.personaId,
      personaMetadata: { note: 'two' },
    })
    expect((await read(made.personaId)).defaultVersionId).toBe(second.body.personaVersionId)
    const third = await add(made.personaId, { personaText: 'Third', isActive: false, personaId: made.personaId })
    expect(third.body).toMatchObject({ isActive: false })
    const after = await read(made.personaId)
    expect(after.defaultVersionId).toBe(second.body.personaVersionId)
    expect(after.personaVersions.map(({ personaText }) => personaText).sort()).toEqual(['First', 'Second', 'Third'])
  })

  const WHOLE = {
    ...CONTENT,
    personaConfiguration: { temperature: 0.5, variables: { name: { required: true } } },
    dataspaceIds: [NOWHERE],
    personaMetadata: { note: 'one' },
  }
  const OWN: Json = {
    ...WHOLE,
    personaConfiguration: { temperature: 1 },
    personaMetadata: { note: 'two' },
    dataspaceIds: [],
  }

  test.each<[string, Json]>([
    ['nothing', {}],
    ['a text', { personaText: 'Second' }],
    ['a greeting', { personaGreeting: 'Good day' }],
    ['an AI system', { aiSystem: 'openai' }],
    ['a model', { model: 'another' }],
    ['a configuration', { personaConfiguration: { topK: 1 } }],
    ['dataspaces', { dataspaceIds: [] }],
    ['metadata', { personaMetadata: { note: 'mine' } }],
    ['all of it', { ...OWN, personaText: 'Second', personaGreeting: 'Second', aiSystem: 'openai', model: 'other' }],
    ['an AI system and a model of null', { aiSystem: null, model: null }],
  ])('that bring %s have the rest from the one that is live', async (_what, brought) => {
    const made = await create()
    // The live one is neither the first nor the newest.
    const live = (await post(made.personaId, WHOLE)).body
    await post(made.personaId, { ...CONTENT, personaText: 'Not live', personaGreeting: 'Not live', isActive: false })
    for (const isActive of [false, true]) {
      const { status, body } = await post(made.personaId, { ...brought, isActive })
      const given = Object.entries(brought).filter(([, value]) => value !== null)
      expect([status, body]).toMatchObject([200, { ...WHOLE, ...Object.fromEntries(given), isActive }])
      expect((await read(made.personaId)).defaultVersionId).toBe(
        isActive ? body.personaVersionId : live.personaVersionId,
      )
    }
  })

  test('keep the variables that are required', async () => {
    const made = await create({ personaText: 'For {{name}}', personaConfiguration: WHOLE.personaConfiguration })
    await post(made.personaId, { personaText: 'Now for {{name}}' })
    expectError(await start(made.personaId), 'unprocessable_entity')
    const started = (await start(made.personaId, { replacements: { name: 'Ada' } })).body
    expect(started.chatMessages.map(({ content }) => content)).toEqual(['Now for Ada', 'Hello'])
  })

  test.each(['personaText', 'personaGreeting', 'personaConfiguration', 'personaMetadata', 'dataspaceIds'])(
    'lose %s by null',
    async (field) => {
      const made = await create(WHOLE)
      expect((await post(made.personaId, { [field]: null })).body).toMatchObject({ ...WHOLE, [field]: null })
    },
  )

  test('that are added at the same time as others all count', async () => {
    for (let round = 0; round < 3; round++) {
      const made = await create()
      const answers = await Promise.all([
        post(made.personaId, { personaText: 'Together' }),
        patch(made.personaId, { personaGreeting: 'Together' }),
        post(made.personaId, { model: 'together' }),
      ])
      expect(answers.map(({ status }) => status)).toEqual([200, 200, 200])
      const after = await read(made.personaId)
      expect(after.personaVersions).toHaveLength(4)
      expect(after).toMatchObject({ personaText: 'Together', personaGreeting: 'Together', model: 'together' })
    }
  })

  test('are gone back to by moving the default', async () => {
    const made = await create()
    await patch(made.personaId, { personaText: 'Second' })
    expect((await start(made.personaId)).body.chatMessages[0]?.content).toBe('Second')
    const back = (await patch(made.personaId, { defaultVersionId: made.defaultVersionId.toUpperCase() })).body
    expect(back).toMatchObject({ defaultVersionId: made.defaultVersionId, personaText: 'First' })
    expect(back.personaVersions).toHaveLength(2)
    const started = (await start(made.personaId)).body
    expect(started).toMatchObject({ personaVersionId: made.defaultVersionId, chatMessages: [{ content: 'First' }, {}] })
    expectError(await patch(made.personaId, { defaultVersionId: NOWHERE }), 'unprocessable_entity')
    const other = await create()
    expectError(await patch(made.personaId, { defaultVersionId: other.defaultVersionId }), 'unprocessable_entity')
    expect((await read(made.personaId)).defaultVersionId).toBe(made.defaultVersionId)
  })

  test('do not change, whatever is tried', async () => {
    const made = await create({ personaConfiguration: { temperature: 0.5 } })
    const path = `/personas/${made.personaId}/${made.personaVersionId}`
    const before = (await server.call<Version>('GET', path)).body
    for (const change of [
      { personaText: 'Other' },
      { personaText: '' },
      { personaGreeting: 'Other' },
      { aiSystem: 'openai' },
      { aiSystem: 1 },
      { model: 'other' },
      { personaConfiguration: {} },
      { personaConfiguration: { temperature: 0.6 } },
      { personaText: 'Other', isActive: false, personaMetadata: { half: true } },
    ]) {
      expectError(await server.call('PATCH', path, change), 'conflict', JSON.stringify(change))
    }
    expect((await server.call('GET', path)).body).toEqual(before)
    const same = await server.call<Version>('PATCH', path, {
      personaText: 'First',
      aiSystem: 'Rehearsal',
      personaMetadata: { a: 1 },
    })
    expect(same.body).toMatchObject({ personaText: 'First', personaMetadata: { a: 1 } })
    expect((await read(made.personaId)).personaVersions).toHaveLength(1)
  })

  test('that are inactive cannot be used', async () => {
    const made = await create()
    await patch(made.personaId, { personaText: 'Second' })
    const old = `/personas/${made.personaId}/${made.defaultVersionId}`
    const used = await start(made.personaId, { personaVersionId: made.defaultVersionId })
    expect(used.body).toMatchObject({
      personaVersionId: made.defaultVersionId,
      chatMessages: [{ content: 'First' }, {}],
    })
    expect((await server.call('PATCH', old, { isActive: false })).body).toMatchObject({ isActive: false })
    expectError(await start(made.personaId, { personaVersionId: made.defaultVersionId }), 'forbidden')
    expectError(await start(made.personaId, { personaVersionId: made.defaultVersionId, message: 'Hi' }), 'forbidden')
    expect((await start(made.personaId)).status).toBe(200)
    // What was begun with it goes on.
    const chat = await server.call('PATCH', `/conversations/${used.body.conversationId}/chat`, { message: 'Hi' })
    expect(chat.status).toBe(200)
    await server.call('PATCH', old, { isActive: true })
    expect((await start(made.personaId, { personaVersionId: made.defaultVersionId })).status).toBe(200)
  })

  test('of the default being inactive stop new conversations', async () => {
    const made = await create()
    await server.call('PATCH', `/personas/${made.personaId}/${made.defaultVersionId}`, { isActive: false })
    expectError(await start(made.personaId), 'forbidden')
    // Everything else about the persona can still be changed.
    expect((await patch(made.personaId, { personaName: 'Renamed' })).status).toBe(200)
    expect((await patch(made.personaId, { isActive: false })).status).toBe(200)
  })

  test('of other personas are refused', async () => {
    const [one, two] = [await create(), await create()]
    expectError(await start(one.personaId, { personaVersionId: two.personaVersionId }), 'unprocessable_entity')
    expectError(await start(one.personaId, { personaVersionId: NOWHERE }), 'unprocessable_entity')
    expectError(await server.call('GET', `/personas/${one.personaId}/${two.personaVersionId}`), 'not_found')
    expectError(
      await server.call('PATCH', `/personas/${one.personaId}/${two.personaVersionId}`, { isActive: false }),
      'not_found',
    )
    expectError(await add(NOWHERE, {}), 'not_found')
    expectError(await post(NOWHERE, {}), 'not_found')
    expectError(await add(one.personaId, { personaId: two.personaId }), 'bad_request')
    const inBody = { personaVersionId: two.personaVersionId, isActive: false }
    expectError(await server.call('PATCH', `/personas/${one.personaId}/${one.personaVersionId}`, inBody), 'bad_request')
    expect(await read(one.personaId)).toMatchObject(one)
    expect(await read(two.personaId)).toMatchObject(two)
  })

  test('are frozen in the conversations that were begun with them', async () => {
    const made = await create({ personaText: 'For {{name}}', personaConfiguration: { maxTokens: 5 } })
    const started = (await start(made.personaId, { replacements: { name: 'Ada' } })).body
    await patch(made.personaId, {
      personaText: 'Changed for {{name}}',
      personaGreeting: 'Changed',
      personaConfiguration: { maxTokens: 6 },
    })
    const later = (await server.call<Conversation>('GET', `/conversations/${started.conversationId}`)).body
    expect(later).toEqual(started)
    expect(later).toMatchObject({
      configuration: { maxTokens: 5 },
      chatMessages: [{ content: 'For Ada' }, { content: 'Hello' }],
    })
  })

  test('are all kept when several changes come at once, and none loses what another has changed', async () => {
    for (let round = 0; round < 3; round++) {
      const made = await create()
      const changes = [{ personaText: 'Together' }, { personaGreeting: 'Together' }, { model: 'together' }]
      const answers = await Promise.all(changes.map((change) => patch(made.personaId, change)))
      expect(answers.map(({ status }) => status)).toEqual([200, 200, 200])
      const after = await read(made.personaId)
      expect(after.personaVersions).toHaveLength(4)
      expect(after).toMatchObject({ personaText: 'Together', personaGreeting: 'Together', model: 'together' })
    }
  })

  test('of a deleted persona cannot be added by a change that was under way', async () => {
    const made = await create()
    const answers = await Promise.all([
      patch(made.personaId, { personaText: 'Late' }),
      server.call('DELETE', `/personas/${made.personaId}`),
      patch(made.personaId, { personaName: 'Late' }),
      add(made.personaId, { personaText: 'Late' }),
    ])
    expect(answers.map(({ status }) => status).filter((status) => ![200, 204, 404].includes(status))).toEqual([])
    expectError(await server.call('GET', `/personas/${made.personaId}`), 'not_found')
    expectError(await start(made.personaId), 'gone')
  })

  test.each<[Json, string]>([
    [{ temperature: 2.1 }, 'temperature'],
    [{ temperature: -0.1 }, 'temperature'],
    [{ temperature: '1' }, 'temperature'],
    [{ topP: 1.01 }, 'topP'],
    [{ topK: 0 }, 'topK'],
    [{ topK: 1.5 }, 'topK'],
    [{ maxTokens: 0 }, 'maxTokens'],
    [{ maxTokens: -1 }, 'maxTokens'],
    [{ stop: 7 }, 'stop'],
    [{ stop: [7] }, 'stop.0'],
    [{ seed: 'x' }, 'seed'],
    [{ seed: 0.5 }, 'seed'],
    [{ frequencyPenalty: 2.5 }, 'frequencyPenalty'],
    [{ presencePenalty: -2.5 }, 'presencePenalty'],
    [{ responseFormat: 7 }, 'responseFormat'],
    [{ responseFormat: { type: 'xml' } }, 'responseFormat'],
    [{ fallbacks: {} }, 'fallbacks'],
    [{ fallbacks: [{ aiSystem: 'openai' }] }, 'fallbacks.0.model'],
    [{ fallbacks: [{ aiSystem: 'skynet', model: 'x' }] }, 'fallbacks.0.aiSystem'],
    [{ timeouts: { firstTokenMs: -1 } }, 'timeouts.firstTokenMs'],
    [{ timeouts: { totalMs: 'x' } }, 'timeouts.totalMs'],
    [{ variables: [] }, 'variables'],
    [{ variables: { a: 'x' } }, 'variables.a'],
    [{ variables: { a: { required: 'yes' } } }, 'variables.a.required'],
  ])('are refused with the configuration %j, in the place of %s', async (configuration, field) => {
    const made = await create()
    const expectRefused = async (method: string, path: string, body: Json, name: string) => {
      const { details } = expectError(await server.call(method, path, body), 'bad_request')
      expect(details.map((detail) => detail.field).join()).toContain(`${name}.${field}`)
    }
    const named = { ...CONTENT, personaName: 'x', personaDescription: 'x' }
    await expectRefused('POST', '/personas', { ...named, personaConfiguration: configuration }, 'personaConfiguration')
    await expectRefused(
      'PATCH',
      `/personas/${made.personaId}`,
      { personaConfiguration: configuration },
      'personaConfiguration',
    )
    await expectRefused(
      'POST',
      `/personas/${made.personaId}`,
      { ...CONTENT, personaConfiguration: configuration },
      'personaConfiguration',
    )
    await expectRefused('POST', '/conversations', { aiSystem: 0, model: 'x', configuration }, 'configuration')
    expect(await read(made.personaId)).toMatchObject(made)
  })

  test('keep a configuration as it was written, to the edges', async () => {
    const personaConfiguration = {
      temperature: 2,
      topP: 0,
      topK: 1,
      maxTokens: 1,
      stop: ['END', '\n'],
      seed: -1,
      frequencyPenalty: -2,
      presencePenalty: 2,
      fallbacks: [{ aiSystem: 'OpenAi', model: 'gpt' }],
      timeouts: { firstTokenMs: 1_000 },
      variables: { a: { default: null, description: 'An a' } },
      ours: ['kept', null],
    }
    const made = await create({ personaConfiguration })
    expect((await read(made.personaId))['personaConfiguration']).toEqual(personaConfiguration)
  })
})
