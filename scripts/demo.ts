import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'

/**
 * To watch: a server is killed in mid-sentence and starts again, and the reader's text continues to its stored end. Two
 * acts: a reply that had begun keeps every word, and a reply that had not begun is begun again.
 */

const SERVER = join(import.meta.dirname, '../server/src/main.ts')
const KEY = randomBytes(24).toString('base64url')
const TEXT =
  'Once there was a server that was asked for a long story. It told it word by word, and wrote each word down ' +
  'before it said it. So when somebody pulled the plug in the middle of a sentence, nothing that had been said was lost, ' +
  'and nothing was said twice.'
/** The reader loses its connection after so many words, and the server is killed so many milliseconds later. */
const WORDS_READ = 20
const KILLED_AFTER_MS = 1_500

type Server = { url: string; process: ChildProcess }
type Reading = { text: string; lastId: string; finishReason: string | null; isWhole: boolean }

const directory = mkdtempSync(join(tmpdir(), 'dramatis-demo-'))
let server = null as Server | null
try {
  await interruptedReply()
  await restartedReply()
  say('That is all. Nothing was lost, nothing was said twice.')
} finally {
  server?.process.kill('SIGKILL')
  rmSync(directory, { recursive: true, force: true })
}

async function interruptedReply(): Promise<void> {
  say(`A server starts, with its data in ${directory}.`)
  server = await start()
  say('Somebody asks for a story. The words are shown as they come (the model is the built-in rehearsal):')
  const conversationId = await createConversation({ text: TEXT, tokensPerSecond: 12 })
  const connection = new AbortController()
  process.stdout.write('  ')
  const first = await read(await send(conversationId, 'Tell me a story.', '', connection.signal), (words) => {
    if (words === WORDS_READ) connection.abort()
  })
  process.stdout.write(' ▌\n')
  say(
    'The reader is in a tunnel: its connection is gone. The model goes on, and the server writes down what it says ...',
  )
  await wait(KILLED_AFTER_MS)
  const killed = once(server.process, 'exit')
  server.process.kill('SIGKILL')
  await killed
  say('... until the server is killed with SIGKILL, in mid-sentence. It had no chance to tidy up. It starts again.')
  server = await start()
  const [runId, number] = first.lastId.split(':')
  say(`The reader comes back and names the last event that it got (Last-Event-ID: ...:${number}). Its text continues:`)
  process.stdout.write(`  ${first.text}▌`)
  const rest = await read(await resume(conversationId, runId, first.lastId), () => {})
  process.stdout.write('▌\n')

  const stored = await storedReply(conversationId)
  say(
    `That is where the server died: the reply ends as "${rest.finishReason}". The reader has ${first.text.length} ` +
      `characters from before and ${rest.text.length} from after; the message that is stored has ${stored.length}.`,
  )
  check(first.text + rest.text === stored, 'the two parts are not what is stored')
  check(rest.text !== '', 'there was nothing to go on with')
  check(rest.isWhole && rest.finishReason === 'interrupted', 'the reply has no proper end')

  say('The conversation can go on. The next message is answered to its end:')
  process.stdout.write('  ')
  const next = await read(await send(conversationId, 'Once more, please.'), () => {})
  process.stdout.write('\n')
  check(next.finishReason === 'stop', 'the next turn did not work')
}

async function restartedReply(): Promise<void> {
  say('Once more, with a model that thinks before it speaks, and a request that says onCrash=restart.')
  const text = 'Here is your answer, although the first server that was asked is gone.'
  const conversationId = await createConversation({ text, tokensPerSecond: 12, delayMs: 1_500 })
  // Its connection breaks before there is an answer.
  const asked = send(conversationId, 'Are you there?', '?onCrash=restart').catch(() => null)
  await wait(700)
  server?.process.kill('SIGKILL')
  await asked
  say('Killed while it was thinking. Nothing had been said, so the next server asks the model again:')
  server = await start()
  const [run] = (await getJson(`/conversations/${conversationId}/runs`))['data'] as [
    { runId: string; restarts: number },
  ]
  process.stdout.write('  ')
  const reading = await read(await resume(conversationId, run.runId, null), () => {})
  process.stdout.write('\n')
  check(reading.text === text && reading.finishReason === 'stop', 'the reply is not what was to be said')
  check(run.restarts === 1, 'the run was not restarted once')
}

function say(sentence: string): void {
  process.stdout.write(`\n\x1b[2m# ${sentence}\x1b[0m\n`)
}

function check(isTrue: boolean, complaint: string): void {
  if (!isTrue) throw new Error(complaint)
}

async function start(): Promise<Server> {
  const child = spawn(process.execPath, [SERVER], {
    env: {
      PATH: process.env['PATH'],
      PORT: '0',
      DRAMATIS_DATA_DIR: directory,
      DRAMATIS_API_KEY: KEY,
      DRAMATIS_LOG_LEVEL: 'error',
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  for await (const piece of child.stdout.setEncoding('utf8').iterator({ destroyOnReturn: false })) {
    output += piece
    const url = /listening on (http:\S+)/.exec(output)?.[1]
    if (!url) continue
    child.stdout.resume()
    return { url, process: child }
  }
  throw new Error(`the server did not start: ${output}`)
}

type RequestOptions = { body?: object; lastId?: string | null; signal?: AbortSignal }

async function request(method: string, path: string, options: RequestOptions = {}): Promise<Response> {
  const { body, lastId, signal } = options
  const response = await fetch(`${server?.url}${path}`, {
    method,
    headers: {
      'x-hl-api-key': KEY,
      'content-type': 'application/json',
      ...(lastId ? { 'last-event-id': lastId } : {}),
    },
    ...(body ? { body: JSON.stringify(body) } : {}),
    ...(signal ? { signal } : {}),
  })
  check(response.ok, `${method} ${path} was answered with ${response.status}`)
  return response
}

async function getJson(path: string): Promise<Record<string, unknown>> {
  return (await (await request('GET', path)).json()) as Record<string, unknown>
}

async function createConversation(rehearsal: object): Promise<string> {
  const body = { aiSystem: 'rehearsal', model: 'rehearsal', configuration: { rehearsal } }
  const created = (await (await request('POST', '/conversations', { body })).json()) as { conversationId: string }
  return created.conversationId
}

function send(conversationId: string, message: string, query = '', signal?: AbortSignal): Promise<Response> {
  const path = `/conversations/${conversationId}/chat-sse${query}`
  return request('PATCH', path, { body: { message }, ...(signal ? { signal } : {}) })
}

function resume(conversationId: string, runId: string | undefined, lastId: string | null): Promise<Response> {
  return request('GET', `/conversations/${conversationId}/runs/${runId}/events`, { lastId })
}

async function storedReply(conversationId: string): Promise<string> {
  const { chatMessages } = await getJson(`/conversations/${conversationId}`)
  return (
    (chatMessages as { role: string; content: string }[]).findLast(({ role }) => role === 'assistant')?.content ?? ''
  )
}

/** Shows the words of a stream as they come, and gives back what it had when it ended or broke. */
async function read(response: Response, onWord: (count: number) => void): Promise<Reading> {
  const reading: Reading = { text: '', lastId: '', finishReason: null, isWhole: false }
  let rest = ''
  let count = 0
  try {
    for await (const piece of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
      rest += piece
      const blocks = rest.split('\n\n')
      rest = blocks.pop() ?? ''
      for (const block of blocks) {
        const data = /^data: (.*)$/m.exec(block)?.[1] ?? ''
        if (data === '[DONE]') reading.isWhole = true
        const id = /^id: (.*)$/m.exec(block)?.[1]
        if (!id || /^event: /m.test(block)) continue
        const { choice } = JSON.parse(data) as {
          choice: { finish_reason: string | null; message: { content: string } }
        }
        process.stdout.write(choice.message.content)
        reading.text += choice.message.content
        reading.lastId = id
        reading.finishReason = choice.finish_reason
        onWord(++count)
      }
    }
  } catch {
    // The connection broke: what has been read is what there is.
  }
  return reading
}
