/** Who is told what of the text that a model sends. */
export type SplitListener = {
  onText(text: string): void
  onThought(text: string): void
  /** All text so far was a thought: its end has come without a beginning. */
  onWasThought(): void
}

export type ThoughtSplitter = {
  push(piece: string): void
  /** Gives out what still waits; the model has stopped. */
  flush(): void
  /** The thoughts have a place of their own in this reply, so that no end is looked for in its text. */
  leaveText(): void
  /** What of the text was thoughts, with its tags; null where there was none. */
  tagged(): string | null
  /** Whether the thoughts ended without having begun. */
  hadNoBeginning(): boolean
}

type Frame = { open: string; closes: readonly string[] }

const NAMES = ['think', 'thinking', 'thought', 'thoughts', 'reasoning', 'reflection', 'seed:think', 'mm:think']

/** How thoughts begin and end in the text of models; without regard to case. */
const FRAMES: readonly Frame[] = [
  ...NAMES.map((name) => ({ open: `<${name}>`, closes: [`</${name}>`] })),
  { open: '[think]', closes: ['[/think]'] },
  { open: '◁think▷', closes: ['◁/think▷'] },
  // Gemma.
  { open: '<|channel>thought', closes: ['<channel|>'] },
  // Harmony, of the open models of OpenAI.
  { open: '<|channel|>analysis', closes: ['<|end|>', '<|start|>assistant'] },
  { open: '<|channel|>commentary', closes: ['<|end|>', '<|call|>', '<|start|>assistant'] },
]

/** Frames of the answer, which are left out where it begins, and where it ends. */
const FINAL = '<|channel|>final<|message|>'
const BEGINNINGS: readonly string[] = ['<|start|>assistant', FINAL]
const ENDS: readonly string[] = ['<|return|>', '<|end|>']
const MESSAGE = '<|message|>'

/** Ends that are known also without a beginning, which some templates put into the prompt. */
const LONE_ENDS = FRAMES.flatMap(({ closes }) => closes).filter((close) => /^[<◁]\//.test(close))
const LONGEST_TAG = 32

/** UTF-16 units in which such an end is looked for. */
const MOST_WATCHED = 400_000

/**
 * Tells the thoughts in a model's text from its answer. They stand at its beginning between tags, which may be cut into
 * pieces; a tag that is mentioned later stays text. Nothing waits longer than until it is clear whether it is a tag.
 *
 * With `isAssumed` the text is taken for thoughts until their end comes; without one, it was an answer after all.
 */
export function createThoughtSplitter(listener: SplitListener, isAssumed = false): ThoughtSplitter {
  let state: 'start' | 'thoughts' | 'text' = isAssumed ? 'thoughts' : 'start'
  let frame: Frame = { open: '', closes: LONE_ENDS }
  let held = ''
  /** With their tags. */
  let tagged = ''
  let said = ''
  let isWatched = true
  let isHarmony = false
  let isBare = isAssumed
  let hadNoBeginning = false

  const text = (piece: string) => {
    if (piece !== '') listener.onText(piece)
  }
  const thought = (piece: string) => {
    if (piece !== '') listener.onThought(piece)
  }

  function start(piece: string): string {
    const all = held + piece
    held = ''
    const bare = all.trimStart()
    const low = bare.slice(0, LONGEST_TAG).toLowerCase()
    // White space alone may stand before a tag.
    if (bare === '' || mayBecome(low, OPENINGS)) {
      held = all
      return ''
    }
    const skipped = [...BEGINNINGS, ...(isBare ? [] : LONE_ENDS)].find((one) => low.startsWith(one))
    const found = FRAMES.find(({ open }) => low.startsWith(open))
    if (skipped !== undefined) {
      isHarmony ||= skipped === FINAL
      tagged += all.slice(0, all.length - bare.length + skipped.length)
      return bare.slice(skipped.length)
    }
    if (found) {
      frame = found
      state = 'thoughts'
      tagged += all.slice(0, all.length - bare.length + found.open.length)
      return bare.slice(found.open.length)
    }
    state = 'text'
    // Behind thoughts, white space is part of their frame.
    const answer = tagged === '' ? all : bare
    if (tagged !== '') tagged += all.slice(0, all.length - bare.length)
    if (tagged !== '') isWatched = false
    return answer
  }

  function think(piece: string): string {
    const all = held + piece
    held = ''
    const low = all.toLowerCase()
    const ends = frame.closes.map((close) => ({ close, at: low.indexOf(close) })).filter(({ at }) => at !== -1)
    const first = ends.sort((a, b) => a.at - b.at)[0]
    if (first) {
      give(all.slice(0, first.at))
      tagged += all.slice(0, first.at + first.close.length)
      if (frame.open === '') hadNoBeginning = true
      isBare = false
      state = 'start'
      return all.slice(first.at + first.close.length)
    }
    const from = all.length - tailOf(low, frame.open.startsWith('<|') ? [...frame.closes, MESSAGE] : frame.closes)
    held = all.slice(from)
    give(all.slice(0, from))
    tagged += all.slice(0, from)
    return ''
  }

  /** Harmony's own marks within thoughts are no words. */
  function give(piece: string): void {
    thought(frame.open.startsWith('<|') ? piece.replaceAll(MESSAGE, '') : piece)
  }

  function speak(piece: string): string {
    if (isHarmony) return speakHarmony(piece)
    if (!isWatched || (held === '' && !piece.includes('<') && !piece.includes('◁'))) {
      if (isWatched) watch(piece)
      text(piece)
      return ''
    }
    const all = held + piece
    held = ''
    const low = all.toLowerCase()
    const found = LONE_ENDS.map((close) => ({ close, at: low.indexOf(close) })).find(({ at }) => at !== -1)
    const isOpened = FRAMES.some(({ open }) => low.includes(open))
    if (isOpened || (found && isMention(said + all.slice(0, found.at)))) {
      isWatched = false
      text(all)
      return ''
    }
    if (found) {
      tagged = said + all.slice(0, found.at + found.close.length)
      text(all.slice(0, found.at))
      listener.onWasThought()
      hadNoBeginning = true
      state = 'start'
      return all.slice(found.at + found.close.length)
    }
    const from = all.length - tailOf(low, WATCHED)
    held = all.slice(from)
    watch(all.slice(0, from))
    text(all.slice(0, from))
    return ''
  }

  function watch(piece: string): void {
    said += piece
    if (said.length <= MOST_WATCHED) return
    isWatched = false
    said = ''
  }

  function speakHarmony(piece: string): string {
    let all = held + piece
    for (const end of ENDS) all = all.replaceAll(end, '')
    const from = all.length - tailOf(all, ENDS)
    held = all.slice(from)
    text(all.slice(0, from))
    return ''
  }

  return {
    push(piece) {
      // By far the most pieces: the answer of a model that has no thoughts in its text.
      if (state === 'text' && !isWatched && !isHarmony) {
        text(piece)
        return
      }
      let rest = piece
      do {
        if (state === 'start') rest = start(rest)
        else if (state === 'thoughts') rest = think(rest)
        else rest = speak(rest)
      } while (rest !== '')
    },
    flush() {
      const rest = held
      held = ''
      if (state === 'thoughts' && isBare) {
        text(tagged + rest)
        tagged = ''
      } else if (state === 'thoughts') {
        give(rest)
        tagged += rest
      } else if (tagged === '' || rest.trim() !== '') text(rest)
    },
    leaveText() {
      if (!isWatched) return
      isWatched = false
      said = ''
      if (isBare && state === 'thoughts' && tagged === '') {
        isBare = false
        state = 'start'
      }
      if (state !== 'text') return
      const rest = held
      held = ''
      text(rest)
    },
    tagged: () => (tagged === '' ? null : tagged),
    hadNoBeginning: () => hadNoBeginning,
  }
}

const OPENINGS = [...FRAMES.map(({ open }) => open), ...BEGINNINGS, ...LONE_ENDS]
/** What tells a mention from an end, or is one. */
const WATCHED = [...FRAMES.map(({ open }) => open).filter((open) => /^[<◁]/.test(open)), ...LONE_ENDS]

/** Whether a text may go on to be one of these, and is none yet. */
function mayBecome(text: string, wholes: readonly string[]): boolean {
  return wholes.some((whole) => whole.length > text.length && whole.startsWith(text))
    ? !wholes.some((whole) => text.startsWith(whole))
    : false
}

/** How many units at the end of a text may be the beginning of one of these. */
function tailOf(text: string, wholes: readonly string[]): number {
  for (let length = Math.min(LONGEST_TAG, text.length); length > 0; length--) {
    const tail = text.slice(-length)
    if (wholes.some((whole) => whole.length > length && whole.startsWith(tail))) return length
  }
  return 0
}

/** Whether the tag behind this text is spoken of: behind a space or a quote, or within a block of code. */
function isMention(before: string): boolean {
  return /[ \t`"'(“‘«]$/.test(before) || (before.split('```').length - 1) % 2 === 1
}
