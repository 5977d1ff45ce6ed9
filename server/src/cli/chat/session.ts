import { printableLine } from '../../lib/text/printable.ts'
import { Failure } from '../command.ts'
import type { ChatApi, ChatConversation, ChatPersona } from './api.ts'
import { askForValues, choosePersona } from './choose-persona.ts'
import { showReply } from './show-reply.ts'
import type { Terminal } from './terminal.ts'

/** What the person can type instead of a message. */
export const CHAT_COMMANDS = [
  '  /new        Start again with the same persona.',
  '  /personas   Choose another persona.',
  '  /help       Show this.',
  '  /quit       End. So does Ctrl-C where nothing is typed.',
  '  Ctrl-C      Stop a reply, and end if it is pressed again before it has stopped.',
  '  //text      Send a message that begins with a slash.',
].join('\n')

export type SessionOptions = {
  api: ChatApi
  terminal: Terminal
  /** Id, name or beginning of the name of the first persona. */
  wanted: string | undefined
  /** Values of variables, for every persona of the session. */
  values: Readonly<Record<string, string>>
}

/** Talks until the input ends. Returns how much failed. Throws {@link Failure} when not even a first conversation can be started. */
export async function runSession(options: SessionOptions): Promise<number> {
  const { api, terminal } = options
  let talk = await begin(options, options.wanted)
  let failures = 0

  /** What goes wrong leaves the conversation that there is. */
  const change = async (current: Talk, start: () => Promise<Talk | null>): Promise<Talk | null> => {
    try {
      return await start()
    } catch (error) {
      if (!(error instanceof Failure)) throw error
      terminal.note(`That did not work: ${error.message}.`)
      failures++
      return current
    }
  }

  while (talk) {
    const line = await terminal.ask('> ')
    if (line === null) break
    const input = line.trim()
    if (input === '') continue
    if (input === '/quit') break
    const current = talk
    if (input === '/new') talk = await change(current, () => start(options, current.persona, current.values))
    else if (input === '/personas') talk = await change(current, () => begin(options, undefined))
    else if (input === '/help') terminal.note(CHAT_COMMANDS)
    else if (/^\/(?!\/)/.test(input)) terminal.note(`There is no command ${input.split(/\s/)[0]}; /help lists them.`)
    else {
      const message = input.startsWith('//') ? input.slice(1) : line
      const isGood = await showReply({ api, terminal, conversationId: talk.conversation.id, message })
      if (!isGood) failures++
    }
  }
  return failures
}

type Talk = { persona: ChatPersona; values: Record<string, string>; conversation: ChatConversation }

async function begin(options: SessionOptions, wanted: string | undefined): Promise<Talk | null> {
  const persona = await choosePersona(options.terminal, await options.api.personas(), wanted)
  if (!persona) return null
  const values = await askForValues(options.terminal, persona, options.values)
  return values && (await start(options, persona, values))
}

async function start(
  { api, terminal }: SessionOptions,
  persona: ChatPersona,
  values: Record<string, string>,
): Promise<Talk> {
  const conversation = await api.start(persona.id, values)
  const { aiSystem, model, greeting, unresolved } = conversation
  const answerer = aiSystem === 'rehearsal' ? 'the rehearsal, which is NOT a language model' : `${aiSystem} ${model}`
  if (terminal.isInteractive || aiSystem === 'rehearsal') {
    const hint = terminal.isInteractive ? ' /help lists the commands.' : ''
    terminal.note(`[${printableLine(persona.name)}, answered by ${printableLine(answerer)}.${hint}]`)
  }
  if (unresolved.length > 0) terminal.note(`[Without a value: ${unresolved.map(printableLine).join(', ')}.]`)
  if (greeting !== null) terminal.write(`${greeting}\n`)
  return { persona, values, conversation }
}
