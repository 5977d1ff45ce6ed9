import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ADMIN_KEY, type Json, parseSse, type RunningApp, startApp } from '../support/app.ts'
import { databaseKinds } from '../support/databases.ts'
import { blocksOf, PAGES, textOf } from '../support/pages.ts'

const run = promisify(execFile)
const hasCurl = await run('curl', ['--version']).then(
  () => true,
  () => false,
)

/** Pages whose commands are run elsewhere (the README), or are about whole servers and not about requests. */
const NOT_HERE = ['README.md', 'docs/operating.md']

describe.skipIf(!hasCurl)('the examples of the pages', () => {
  let server: RunningApp
  /** What the examples find in the environment of the shell. */
  const shell: Record<string, string> = { DRAMATIS_API_KEY: ADMIN_KEY }

  beforeAll(async () => {
    const [sqlite] = databaseKinds
    if (!sqlite) throw new Error('there is no database')
    server = await startApp(sqlite)
    const persona = await pasteJson(block('docs/personas.md', 'Travel guide'))
    shell['PERSONA'] = String(persona['personaId'])
    shell['VERSION'] = String(persona['personaVersionId'])
    const conversation = await pasteJson(block('docs/conversations.md', 'user-42'))
    shell['CONVERSATION'] = String(conversation['conversationId'])
    shell['MESSAGE'] = String((conversation['chatMessages'] as Json[])[0]?.['messageId'])
    const headers = (await server.call('POST', chat(), { message: 'Hi' })).headers
    shell['RUN'] = headers.get('x-dramatis-run-id') ?? ''
  })
  afterAll(() => server.close())

  const chat = () => `/conversations/${shell['CONVERSATION']}/chat`

  async function paste(command: string): Promise<string> {
    const text = command
      .replaceAll('http://127.0.0.1:8787', server.url)
      .replaceAll('curl ', 'curl --silent --fail-with-body ')
    const env = { PATH: process.env['PATH'], ...shell }
    return (await run('sh', ['-c', text], { env })).stdout
  }
  const pasteJson = async (command: string) => JSON.parse(await paste(command)) as Json

  const pages = PAGES.filter((page) => !NOT_HERE.includes(page))
  const all = pages.flatMap((page) => blocksOf(textOf(page), 'sh').map((text): [string, string] => [page, text]))

  test('are found', () => {
    expect(all.length).toBeGreaterThanOrEqual(8)
    expect(all.filter(([, text]) => !text.startsWith('curl '))).toEqual([])
  })

  test.each(all)('work when pasted: %s', async (_page, text) => {
    const answer = await paste(text)
    if (/^(id|event): /.test(answer)) expect(parseSse(answer).at(-1)?.data).toBe('[DONE]')
    else expect(Object.keys(JSON.parse(answer) as Json).length).toBeGreaterThan(1)
  })

  test('do what the page on personas says', async () => {
    const path = `/personas/${shell['PERSONA']}`
    const { personaVersions } = (await server.call<{ personaVersions: Json[] }>('GET', path)).body
    expect(personaVersions.map(({ personaText }) => personaText)).toContain(
      'You show visitors around {{city}}. Be brief.',
    )
    const added = personaVersions.find(({ personaText }) => String(personaText).includes('by bicycle'))
    expect(added).toMatchObject({
      isActive: false,
      personaGreeting: 'Welcome to {{city}}!',
      aiSystem: 'default',
      model: 'default',
      personaConfiguration: { temperature: 0.7, variables: { city: { required: true } } },
    })
  })

  test('read a stream in JavaScript', async () => {
    const [code = ''] = blocksOf(textOf('docs/conversations.md'), 'js')
    const shown: string[] = []
    const names = ['url', 'id', 'key', 'show']
    const example = new Function(...names, `return (async () => {${code}})()`) as (
      ...values: unknown[]
    ) => Promise<void>
    await example(server.url, shell['CONVERSATION'], ADMIN_KEY, (text: string) => shown.push(text))
    expect(shown.length).toBeGreaterThan(5)
    expect(shown.join('')).toContain('Where do I get breakfast?')
  })
})

function block(page: string, containing: string): string {
  const found = blocksOf(textOf(page), 'sh').filter((text) => text.includes(containing))
  if (found.length === 0) throw new Error(`${page} has no example with "${containing}"`)
  return found[0] as string
}
