import { createChatApi } from './chat/api.ts'
import { CHAT_COMMANDS, runSession } from './chat/session.ts'
import { openTerminal } from './chat/terminal.ts'
import { defineCommand, Failure, UsageError } from './command.ts'

export const chatCommand = defineCommand({
  usage: '[PERSONA] [--set NAME=VALUE …] [--url URL] [--key KEY]',
  details: [
    'PERSONA is an id, a name or the beginning of a name. Without it the only one is taken, or you are asked. Required',
    'variables without a value are asked for. Replies go to standard output, everything else to standard error, and',
    'lines may be piped in: then the exit code is 1 when a turn failed.',
    '',
    '  --set NAME=VALUE   A value for a variable of the persona; may be given several times.',
    '  --url URL          The server; else DRAMATIS_URL, else http://127.0.0.1:8787.',
    '  --key KEY          The API key; else DRAMATIS_API_KEY, which other users of this machine cannot see.',
    '',
    'In the chat:',
    CHAT_COMMANDS,
  ].join('\n'),
  options: { set: { type: 'string', multiple: true }, url: { type: 'string' }, key: { type: 'string' } },
  optional: ['PERSONA'],
  run: async ({ values, words, io }) => {
    const url = readUrl(values.url ?? (io.env['DRAMATIS_URL']?.trim() || 'http://127.0.0.1:8787'))
    const key = readKey(values.key ?? io.env['DRAMATIS_API_KEY']?.trim())
    const replacements = readValues(values.set ?? [])
    const quit = new AbortController()
    const api = createChatApi({ url, key, signal: quit.signal })
    const terminal = openTerminal(io, () => quit.abort())
    try {
      const failures = await runSession({ api, terminal, wanted: words[0], values: replacements })
      return failures > 0 && !terminal.isInteractive ? 1 : 0
    } catch (error) {
      if (quit.signal.aborted) return 0
      throw error
    } finally {
      terminal.close()
    }
  },
})

function readUrl(text: string): string {
  if (!/^https?:\/\//i.test(text) || !URL.canParse(text)) {
    throw new Failure(`"${text}" is no address of a server, such as http://127.0.0.1:8787`)
  }
  return text.replace(/\/+$/, '')
}

function readKey(text: string | undefined): string {
  if (!text) throw new Failure('set DRAMATIS_API_KEY to the API key, or give it with --key')
  if (!/^[\x21-\x7e]+$/.test(text)) throw new Failure('the API key may hold only visible ASCII characters')
  return text
}

function readValues(pairs: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf('=')
      if (at < 1) throw new UsageError(`--set takes NAME=VALUE, and is "${pair}"`)
      return [pair.slice(0, at).trim(), pair.slice(at + 1)]
    }),
  )
}
