import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ADMIN_KEY, type Json, parseSse, type RunningApp, startApp } from '../support/app.ts'
import { databaseKinds } from '../support/databases.ts'
import { blocksOf, textOf } from '../support/pages.ts'
import { itemsOf, shapeOf, type Whole } from '../support/tools.ts'

const PAGE = textOf('docs/tools.md')
const run = promisify(execFile)
const hasCurl = await run('curl', ['--version']).then(
  () => true,
  () => false,
)

describe.skipIf(!hasCurl)('the page on tools', () => {
  let server: RunningApp
  beforeAll(async () => {
    const [sqlite] = databaseKinds
    if (!sqlite) throw new Error('there is no database')
    server = await startApp(sqlite)
  })
  afterAll(() => server.close())

  async function paste(n: number) {
    const command = (blocksOf(PAGE, 'sh')[n] ?? '').replaceAll('http://127.0.0.1:8787', server.url)
    const env = { PATH: process.env['PATH'], DRAMATIS_API_KEY: ADMIN_KEY }
    const { stdout } = await run('sh', ['-c', command.replace('curl ', 'curl --silent ')], { env })
    const opening = parseSse(stdout).find(({ event }) => event === 'conversation')
    const id = (JSON.parse(opening?.data ?? '{}') as Json)['conversationId']
    return { id, items: itemsOf(stdout).items }
  }
  const json = () => blocksOf(PAGE, 'json').map((text) => JSON.parse(text.replaceAll('…', '')) as Json)

  test('shows what the tools of a program come to', async () => {
    const { id, items } = await paste(0)
    expect(shapeOf(items)).toEqual(['calls:get_weather', 'end:tool_calls'])
    const [shown, results] = json()
    const [call] = items[0]?.choice.message.toolCalls ?? []
    /** As it stands on the page, but with the id that this call has. */
    const withId = (value: unknown) =>
      JSON.parse(JSON.stringify(value).replaceAll(/call_[0-9a-f]{24}/g, String(call?.toolCallId))) as Json
    expect(items[0]?.choice).toEqual(withId(shown?.['choice']))
    const answer = await server.call<Whole>('POST', `/conversations/${id}/tool-results`, withId(results))
    expect(answer.body.choices[0]?.message.content).toContain('Rain, 7 degrees.')
  })

  test('shows what the tools of the server come to', async () => {
    const { items } = await paste(1)
    expect(shapeOf(items).slice(0, 2)).toEqual(['calls:get_order', 'result:get_order'])
    expect(items[1]?.choice.message.content).toMatch(/^Error: /)
    expect(shapeOf(items).at(-1)).toBe('end:stop')
  })

  test('shows MCP servers as they can be written', async () => {
    const tools = json().filter(({ type }) => type === 'mcp')
    expect(tools).toHaveLength(2)
    const configuration = { tools }
    const answer = await server.call('POST', '/conversations', { aiSystem: 'rehearsal', model: 'r', configuration })
    expect(answer.body['configuration']).toEqual(configuration)
  })
})
