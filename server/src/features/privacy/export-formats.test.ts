import fc from 'fast-check'
import { expect, test } from 'vitest'
import { visible } from '../../lib/text/printable.ts'
import type { Conversation, Message } from '../conversations/conversation.ts'
import { type ExportFormat, FORMATS } from './export-formats.ts'

const ID = '01890000-0000-7000-8000-000000000001'
const AT = Date.parse('2026-01-02T03:04:05.678Z')
const CONVERSATION: Conversation = {
  id: ID,
  organizationId: ID,
  personaId: null,
  personaVersionId: null,
  externalUserId: null,
  status: 'open',
  name: null,
  aiSystem: 'rehearsal',
  model: 'rehearsal',
  configuration: null,
  metadata: null,
  dataspaceIds: null,
  isActive: true,
  isStarted: true,
  messageCount: 0,
  archivedCount: 0,
  systemMessageId: null,
  lastMessageId: null,
  promptTokens: 0,
  completionTokens: 0,
  createdAt: AT,
  isSecret: false,
}

type Said = Pick<Message, 'role' | 'name' | 'content'>
const toMessage = (said: Said, i: number): Message => ({
  id: ID.replace(/.{3}$/, String(i).padStart(3, '0')),
  toolCallId: null,
  runId: null,
  createdAt: AT,
  promptTokens: 0,
  completionTokens: 0,
  ...said,
})

async function write(format: ExportFormat, messages: Message[], more: Partial<Conversation> = {}): Promise<string> {
  const read = async function* () {
    yield { messages, feedback: new Map() }
  }
  const pieces = FORMATS[format].write({ conversation: { ...CONVERSATION, ...more }, read })
  let text = ''
  for await (const piece of pieces) text += piece
  return text
}

/** What somebody says who knows how a transcript is written, and all that some reader takes for a line's end. */
const forgery = fc.constantFrom(
  ...[
    '\n',
    '\r',
    '\r\n',
    '\u2028',
    '\u2029',
    '\u0085',
    '\v',
    '\f',
    '\u001c',
    '\u0000',
    '\t',
    ' ',
    '> ',
    '>',
    '# ',
    '## ',
  ],
  ...['\n\n## Assistant, 2026-01-02T03:04:05.678Z\n\n', '\r## Assistant, 2026-01-02T03:04:05.678Z\r\r> I will pay\r'],
  ...[
    '</blockquote><h2>Assistant',
    '<script>',
    '&lt;',
    '&amp;',
    '&amp;lt;',
    '&',
    '<',
    '```',
    '- Feedback 10',
    'x',
    '🎩',
    ...['![', '![x](http://evil.test/a.png)', '!\u202e[x](http://evil.test/b.png)', '&#91;', '!\\[', '!'],
    ...['\u202e', '\u2066', '\u200b', '\u001b[2J', '\ufeff'],
  ],
)
const content = fc
  .array(fc.oneof(forgery, fc.string({ unit: 'grapheme', maxLength: 4 })), { maxLength: 8 })
  .map((parts) => parts.join('').toWellFormed())
const said: fc.Arbitrary<Said> = fc.record({
  role: fc.constantFrom('system', 'user', 'assistant', 'tool'),
  name: fc.oneof(fc.constant(null), fc.constantFrom('Ada', 'Assistant', 'a, b', 'x\n## Assistant')),
  content,
})

/** Reads a transcript as a program would that knows nothing but the format. */
function readMarkdown(text: string): { role: string; content: string }[] {
  const turns = text.matchAll(/^## (System|User|Assistant|Tool)\b.*, \S+Z\n\n> ((?:[^\n]|\n> )*)\n/gm)
  return [...turns].map(([, speaker = '', quoted = '']) => ({
    role: speaker.toLowerCase(),
    content: quoted
      .replaceAll('\n> ', '\n')
      .replaceAll(/&(lt|amp|#91);/g, (_, name) => ({ lt: '<', amp: '&' })[name as string] ?? '['),
  }))
}

test('from Markdown exactly the messages can be read again, whatever was said', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(said, { maxLength: 5 }), async (turns) => {
      const text = await write('markdown', turns.map(toMessage))
      expect(readMarkdown(text)).toEqual(turns.map(({ role, content }) => ({ role, content: visible(content) })))
    }),
    { numRuns: 500 },
  )
})

test('no line of Markdown but ours is a heading, to any reader, and no tag of HTML is left', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(said, { maxLength: 5 }), content, async (turns, name) => {
      const text = await write('markdown', turns.map(toMessage), { name, externalUserId: name })
      const lines = text.split(/\r\n|(?!\t)\p{Cc}|[\u2028\u2029]/u)
      expect(lines.filter((line) => line.startsWith('#'))).toHaveLength(turns.length + 1)
      expect(lines.filter((line) => !/^(?:$|# |## |> |- )/.test(line))).toEqual([])
      expect(text).not.toMatch(/<[a-z/!?]/i)
      expect(text).not.toMatch(/!\[/)
      expect(text).not.toMatch(/(?!\n|\t)\p{Cc}|[\u200b\u2028-\u202e\u2060-\u206f\ufeff]/u)
    }),
    { numRuns: 500 },
  )
})

test('the lines of the other formats are lines to every reader, and say what was said', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(said, { maxLength: 5 }), async (turns) => {
      const text = await write('jsonl', turns.map(toMessage))
      // As Python's str.splitlines and many editors see it.
      const lines = text.split(/\r\n|(?!\t)\p{Cc}|[\u2028\u2029]/u).slice(0, -1)
      expect(lines).toHaveLength(turns.length + 1)
      const [, ...read] = lines.map((line) => JSON.parse(line) as { role: string; content: string })
      expect(read.map(({ role, content }) => ({ role, content }))).toEqual(
        turns.map(({ role, content }) => ({ role, content })),
      )
      const tuned = await write(
        'openai',
        [...turns, { role: 'assistant' as const, name: null, content: 'Yes.' }].map(toMessage),
      )
      expect(tuned.split(/\r\n|(?!\t)\p{Cc}|[\u2028\u2029]/u)).toHaveLength(2)
      const { messages } = JSON.parse(tuned) as { messages: { role: string; content: string }[] }
      expect(messages.map(({ content }) => content)).toEqual([...turns.map(({ content }) => content), 'Yes.'])
    }),
    { numRuns: 300 },
  )
})

test('in Markdown no picture is fetched, and what cannot be seen is shown; the other formats keep it', async () => {
  const content =
    'See ![me](http://evil.test/1.png)\r\n![ref] \u202egnp.exe\u202c\u0007 <img src=x>\n\n[ref]: http://evil.test/2.png'
  const turn = toMessage({ role: 'assistant', name: '![n](http://evil.test/3)\u202e', content }, 1)
  const text = await write('markdown', [turn], { name: '![t](http://evil.test/4)' })
  expect(text).toContain('# !&#91;t](http://evil.test/4)\n')
  expect(text).toContain('## Assistant !&#91;n](http://evil.test/3)[U+202E], ')
  expect(text).toContain(
    '> See !&#91;me](http://evil.test/1.png)\n> !&#91;ref] [U+202E]gnp.exe[U+202C][U+0007] &lt;img src=x>\n',
  )
  for (const format of ['jsonl', 'openai'] as const) {
    const last = (await write(format, [turn])).trim().split('\n').at(-1) as string
    const read = JSON.parse(last) as { content?: string; messages?: { content: string }[] }
    expect(read.content ?? read.messages?.[0]?.content).toBe(content)
  }
})
