import { afterAll, beforeAll, expect, test } from 'vitest'
import { createKey, createPersona, expectError, type Json, type RunningApp, startApp } from '../support/app.ts'
import { onEveryDatabase } from '../support/databases.ts'

type Persona = Json & { personaId: string; personaName: string; personaVersionId: string; organizationId: string }
type Page = { data: Persona[]; continuationToken: string | null }

const NOWHERE = '01890000-0000-7000-8000-000000000000'
const LEAST = {
  personaName: 'Least',
  personaDescription: 'As little as possible',
  aiSystem: 'rehearsal',
  model: 'rehearsal',
}

/** The fields of `PersonaDto` in the compatible API. */
const PERSONA_FIELDS =
  `imageUrl aiSystem model dataspaceIds isActive isApiEnabled isSecret isChattable isTool isChatbot seed
  defaultVersionId ownedBy organizationId workspaceId workspaceName isWorkspaceItem isOrganizationItem isGlobalItem
  isFavoriteItem isPrivatelyOwned isWorkspaceOwned isOrganizationOwned isHyperleapOwned canRead canRun canUpdate
  canEnableApi canDelete canTransfer createdAt modifiedAt createdByFirstName createdByLastName modifiedByFirstName
  modifiedByLastName lastCreatedAt lastModifiedAt lastCreatedByFirstName lastCreatedByLastName lastModifiedByFirstName
  lastModifiedByLastName versionCreatedAt versionModifiedAt versionCreatedByFirstName versionCreatedByLastName
  versionModifiedByFirstName versionModifiedByLastName personaId personaName personaDescription personaTags
  personaGreeting personaText personaConfiguration personaMetadata personaVersions personaVersionId isWorkspacePersona
  isOrganizationPersona isGlobalPersona isFavorite personaCreatedAt personaModifiedAt personaCreatedByFirstName
  personaCreatedByLastName personaModifiedByFirstName personaModifiedByLastName`.split(/\s+/)
const VERSION_FIELDS = `dataspaceIds aiSystem model isActive createdAt modifiedAt createdByFirstName createdByLastName
  modifiedByFirstName modifiedByLastName personaVersionId personaId personaText personaGreeting personaConfiguration
  personaMetadata`.split(/\s+/)

onEveryDatabase('personas', (kind) => {
  let server: RunningApp
  beforeAll(async () => {
    server = await startApp(kind)
  })
  afterAll(() => server.close())

  const create = async (fields: Json = {}) => {
    const answer = await server.call<Persona>('POST', '/personas', { ...LEAST, ...fields })
    expect([answer.status, answer.text.slice(0, 200)]).toEqual([200, expect.anything()])
    return answer.body
  }
  const read = async (id: string) => (await server.call<Persona>('GET', `/personas/${id}`)).body
  const patch = async (id: string, body: Json) => (await server.call<Persona>('PATCH', `/personas/${id}`, body)).body

  test('three of them are there from the start, and can be talked to', async () => {
    const page = await server.call<Page>('GET', '/personas?tag=example')
    expect(page.body.data).toHaveLength(3)
    for (const { personaId, aiSystem, personaConfiguration } of page.body.data) {
      expect(aiSystem).toBe('default')
      const variables = (personaConfiguration as { variables?: Json } | null)?.variables ?? {}
      const replacements = Object.fromEntries(Object.keys(variables).map((name) => [name, 'Acme']))
      const started = await server.call<Json>('POST', '/conversations/persona', {
        personaId,
        replacements,
        message: 'Hello',
      })
      // What "default" means is settled when a conversation starts.
      expect(started.body).toMatchObject({ aiSystem: 'rehearsal', model: 'rehearsal', chatStarted: true })
    }
  })

  test('are created with what was not said left at its default', async () => {
    const made = await create()
    expect(made).toMatchObject({
      ...LEAST,
      isActive: true,
      isApiEnabled: true,
      isChattable: true,
      isSecret: false,
      isTool: false,
      isChatbot: false,
      personaText: null,
      personaGreeting: null,
      personaTags: null,
      imageUrl: null,
      dataspaceIds: null,
      personaConfiguration: null,
      personaMetadata: null,
      seed: null,
      defaultVersionId: made.personaVersionId,
    })
    expect(await read(made.personaId)).toEqual({ ...made, variables: [] })
  })

  test('say which variables they have, and those of a hidden text only to who may see it', async () => {
    const personaText = '{{city}} {{ price | round }} \\{{shown}} {{guide name}} {{"a":1}} {{user.name}} {{имя}}'
    const made = await create({
      personaText,
      personaGreeting: 'Welcome to {{city}}, {{guest}}!',
      personaConfiguration: { variables: { 'guide name': { required: true } } },
      isSecret: true,
    })
    expect((await read(made.personaId))['variables']).toEqual(['city', 'guide name', 'имя', 'guest'])
    const reader = await createKey(server, ['personas:read'])
    const seen = await server.call<Persona>('GET', `/personas/${made.personaId}`, undefined, reader)
    expect([seen.body['personaText'], seen.body['variables']]).toEqual([null, ['city', 'guest']])
    const listed = await server.call<Page>('GET', '/personas?pageSize=1')
    expect(listed.body.data[0]).not.toHaveProperty('variables')
  })

  test('have every field of the compatible API, null, false or the organization where it means nothing here', async () => {
    const made = await create()
    expect(Object.keys(made).sort()).toEqual([...PERSONA_FIELDS].sort())
    const versions = made['personaVersions'] as Json[]
    expect(versions).toHaveLength(1)
    expect(Object.keys(versions[0] as Json).sort()).toEqual([...VERSION_FIELDS].sort())
    expect(made['ownedBy']).toBe(made.organizationId)
    for (const name of PERSONA_FIELDS.filter((field) => /Name$|^workspace/.test(field) && field !== 'personaName')) {
      expect([name, made[name]]).toEqual([name, null])
    }
    for (const name of ['isWorkspaceItem', 'isGlobalItem', 'isFavorite', 'isHyperleapOwned', 'canTransfer']) {
      expect([name, made[name]]).toEqual([name, false])
    }
    for (const name of ['createdAt', 'personaCreatedAt', 'versionCreatedAt']) {
      expect(new Date(made[name] as string).toISOString()).toBe(made[name])
    }
  })

  test('keep all that they are created with', async () => {
    const fields = {
      personaName: 'Ünï 漢字 😀',
      personaDescription: 'All of it',
      personaTags: 'a, b',
      imageUrl: 'https://x.test/a.png',
      personaText: 'You are {{name}}.\n',
      personaGreeting: 'Hi {{ name }}',
      aiSystem: 'anthropic',
      model: 'some-model',
      isActive: false,
      isApiEnabled: false,
      isSecret: true,
      isChattable: false,
      isTool: true,
      isChatbot: true,
      personaConfiguration: {
        temperature: 0.5,
        seed: 7,
        variables: { name: { default: 'Ada', required: true } },
        mine: { x: 1 },
      },
      personaMetadata: { team: 'a', nested: { list: [1, null, 'x'] } },
      dataspaceIds: ['01890000-0000-7000-8000-000000000000'],
    }
    const made = await create(fields)
    expect(made).toMatchObject({ ...fields, seed: 7 })
    expect(await read(made.personaId)).toEqual({ ...made, variables: ['name'] })
  })

  test.each<[string | number, string]>([
    ['default', 'default'],
    ['DEFAULT', 'default'],
    ['HyperleapAi', 'default'],
    ['openai', 'openai'],
    ['OpenAi', 'openai'],
    ['OPENAI', 'openai'],
    ['AzureOpenAi', 'azure-openai'],
    ['azure-openai', 'azure-openai'],
    ['Azure-OpenAI', 'azure-openai'],
    ['Anthropic', 'anthropic'],
    ['GoogleGemini', 'google'],
    ['google', 'google'],
    ['Groq', 'groq'],
    ['Cohere', 'cohere'],
    ['Mistral', 'mistral'],
    ['bedrock', 'bedrock'],
    ['openai-compatible', 'openai-compatible'],
    ['Ollama', 'ollama'],
    ['local', 'local'],
    ['Rehearsal', 'rehearsal'],
    [0, 'default'],
    [1, 'openai'],
    [2, 'azure-openai'],
    [3, 'anthropic'],
    [4, 'google'],
    [5, 'groq'],
    [6, 'cohere'],
  ])('may name their AI system %s, and answer %s, configured or not', async (aiSystem, name) => {
    const made = await create({ aiSystem, model: 'any-model' })
    expect(made['aiSystem']).toBe(name)
    expect(((await read(made.personaId))['personaVersions'] as Json[])[0]?.['aiSystem']).toBe(name)
    const conversation = await server.call('POST', '/conversations', { aiSystem, model: 'any-model' })
    expect(conversation.body['aiSystem']).toBe(name === 'default' ? 'rehearsal' : name)
  })

  test('are listed newest first, by what stands in name, description and tags', async () => {
    const marker = 'zyx'
    const first = await create({ personaName: `One ${marker}`, personaTags: 'red, Blue' })
    const second = await create({ personaDescription: `Two ${marker.toUpperCase()}`, personaTags: 'bluegreen' })
    const third = await create({ personaName: `Three 100%_${marker}`, personaTags: 'red' })
    const ids = async (query: string) =>
      (await server.call<Page>('GET', `/personas?${query}`)).body.data.map(({ personaId }) => personaId)
    expect(await ids(`q=${marker}`)).toEqual([third, second, first].map(({ personaId }) => personaId))
    expect(await ids('q=100%25_z')).toEqual([third.personaId])
    expect(await ids('q=%25')).toEqual([third.personaId])
    expect(await ids(`q=${marker}&tag=red`)).toEqual([third.personaId, first.personaId])
    expect(await ids(`q=${marker}&tag=blue`)).toEqual([first.personaId])
    expect(await ids(`q=${marker}&tag=RED`)).toEqual([third.personaId, first.personaId])
    expect(await ids('q=nobody-has-this')).toEqual([])
    const one = await server.call<Page>('GET', `/personas?q=${marker}&pageSize=2`)
    const two = await server.call<Page>(
      'GET',
      `/personas?q=${marker}&pageSize=2&continuationToken=${one.body.continuationToken}`,
    )
    expect([...one.body.data, ...two.body.data].map(({ personaId }) => personaId)).toEqual(await ids(`q=${marker}`))
    expect(two.body.continuationToken).toBeNull()
    const minimal = await server.call<Page>('GET', `/personas/minimal?q=${marker}`)
    expect(minimal.body.data.map(({ personaName }) => personaName)).toEqual(
      [third, second, first].map(({ personaName }) => personaName),
    )
    expect(minimal.text).not.toContain('personaText')
  })

  test('are found whatever the case of their letters, also beyond ASCII', async () => {
    const made = await create({ personaName: 'ÄRZTIN Übel', personaTags: 'Größe, ÉTÉ' })
    for (const query of ['q=ärztin', 'q=ÄRZTIN', 'q=übel', 'tag=été', 'tag=größe']) {
      const page = await server.call<Page>('GET', `/personas?${encodeURI(query)}`)
      expect([query, page.body.data.map(({ personaId }) => personaId)]).toEqual([query, [made.personaId]])
    }
  })

  test('ten make a page, and each stands on one page while others are added', async () => {
    const there: string[] = []
    for (let i = 0; i < 25; i++) there.push((await create({ personaTags: 'paging' })).personaId)
    const seen: string[] = []
    let token: string | null = null
    const sizes: number[] = []
    do {
      const next: string = token === null ? '' : `&continuationToken=${encodeURIComponent(token)}`
      const page: Page = (await server.call<Page>('GET', `/personas?tag=paging${next}`)).body
      seen.push(...page.data.map(({ personaId }) => personaId))
      sizes.push(page.data.length)
      token = page.continuationToken
      await create({ personaTags: 'paging' })
    } while (token !== null)
    expect(seen).toEqual(there.toReversed())
    expect(sizes).toEqual([10, 10, 5])
  })

  test('change in what is said and in nothing else', async () => {
    const made = await create({
      personaTags: 'a',
      personaMetadata: { a: 1 },
      personaText: 'Text',
      personaConfiguration: { topK: 3 },
    })
    const changed = await patch(made.personaId, {
      personaName: 'Renamed',
      isSecret: true,
      isApiEnabled: null,
      personaText: null,
    })
    expect(changed).toMatchObject({ personaName: 'Renamed', isSecret: true, isApiEnabled: true, personaText: 'Text' })
    const same = (persona: Persona) => {
      const {
        personaName: _name,
        isSecret: _secret,
        modifiedAt: _m,
        lastModifiedAt: _l,
        personaModifiedAt: _p,
        ...rest
      } = persona
      return rest
    }
    expect(same(changed)).toEqual(same(made))
    expect(changed['modifiedAt']).not.toBeNull()
    expect(await patch(made.personaId, { personaId: made.personaId, isSecret: false })).toMatchObject({
      isSecret: false,
    })
    expect(await read(made.personaId)).toMatchObject({
      personaName: 'Renamed',
      isSecret: false,
      personaMetadata: { a: 1 },
    })
  })

  test('lose no change of several that come at once', async () => {
    for (let round = 0; round < 5; round++) {
      const { personaId } = await create()
      const changes = [
        { personaName: 'Together' },
        { personaDescription: 'All at once' },
        { personaTags: 'together' },
        { imageUrl: 'https://x.test/together.png' },
        { isSecret: true },
        { personaMetadata: { together: true } },
      ]
      const answers = await Promise.all(changes.map((change) => server.call('PATCH', `/personas/${personaId}`, change)))
      expect(answers.map(({ status }) => status)).toEqual(changes.map(() => 200))
      expect(await read(personaId)).toMatchObject(Object.assign({}, ...changes))
    }
  })

  test('are gone when they are deleted, and their conversations live on', async () => {
    const made = await createPersona(server, { isSecret: true }, { text: 'Still here.' })
    const id = made['personaId'] as string
    const started = await server.call('POST', '/conversations/persona', {
      personaId: id,
      replacements: { name: 'Ada' },
    })
    const deleted = await server.call('DELETE', `/personas/${id}`)
    expect([deleted.status, deleted.text]).toEqual([204, ''])

    expectError(await server.call('POST', '/conversations/persona', { personaId: id }), 'gone')
    expectError(await server.call('POST', '/conversations/persona', { personaId: id, message: 'Hi' }), 'gone')
    for (const [method, path, body] of [
      ['GET', ''],
      ['PATCH', '', { personaName: 'Back' }],
      ['POST', '', { aiSystem: 0, model: 'x' }],
      ['GET', `/${made['personaVersionId']}`],
      ['PATCH', `/${made['personaVersionId']}`, { isActive: true }],
      ['DELETE', ''],
    ] as [string, string, Json?][]) {
      expectError(await server.call(method, `/personas/${id}${path}`, body), 'not_found', `${method} ${path}`)
    }
    const listed = await server.call<Page>('GET', '/personas?pageSize=100')
    expect(listed.text).not.toContain(id)

    const c = `/conversations/${started.body['conversationId']}`
    const chat = await server.call('PATCH', `${c}/chat`, { message: 'Are you there?' })
    expect(chat.body).toMatchObject({ choices: [{ message: { content: 'Still here.' } }] })
    const conversation = await server.call<{ chatMessages: { role: string }[] }>('GET', c)
    expect(conversation.body.chatMessages.map(({ role }) => role)).toEqual(['assistant', 'user', 'assistant'])
    expect((await server.call<Page>('GET', `/conversations/persona/${id}`)).body.data).toHaveLength(1)
  })

  test('that are not there are a 404, and those that may not be used a 403', async () => {
    expectError(await server.call('POST', '/conversations/persona', { personaId: NOWHERE }), 'not_found')
    expectError(await server.call('DELETE', `/personas/${NOWHERE}`), 'not_found')
    for (const fields of [{ isActive: false }, { isApiEnabled: false }]) {
      const { personaId } = await create(fields)
      expectError(await server.call('POST', '/conversations/persona', { personaId }), 'forbidden')
      expectError(await server.call('POST', '/conversations/persona', { personaId, message: 'Hi' }), 'forbidden')
      await patch(personaId, { isActive: true, isApiEnabled: true })
      expect((await server.call('POST', '/conversations/persona', { personaId })).status).toBe(200)
      await patch(personaId, fields)
      expectError(await server.call('POST', '/conversations/persona', { personaId }), 'forbidden')
    }
  })

  test('that are secret show their text to those who may write them only', async () => {
    const made = await create({ isSecret: true, personaText: 'The secret recipe', personaGreeting: 'Hello' })
    const reader = await createKey(server, ['personas:read'])
    for (const path of ['', `/${made.personaVersionId}`]) {
      const answer = await server.call('GET', `/personas/${made.personaId}${path}`, undefined, reader)
      expect(answer.body).toMatchObject({ personaText: null, personaGreeting: 'Hello' })
      expect(answer.text).not.toContain('recipe')
    }
    expect((await server.call('GET', '/personas?pageSize=100', undefined, reader)).text).not.toContain('recipe')
    expect(await read(made.personaId)).toMatchObject({ personaText: 'The secret recipe' })
    await patch(made.personaId, { isSecret: false })
    expect((await server.call('GET', `/personas/${made.personaId}`, undefined, reader)).text).toContain('recipe')
  })
})
