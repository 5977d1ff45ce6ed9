import { PassThrough } from 'node:stream'
import { afterEach, expect, test } from 'vitest'
import { openTerminal, type Terminal } from './terminal.ts'

const PASTE_START = '\u001b[200~'
const PASTE_END = '\u001b[201~'
const CTRL_C = '\u0003'

let terminal: Terminal | undefined
afterEach(() => terminal?.close())

/** A person at a terminal that is 80 columns wide. */
function sitDown() {
  const stdin = Object.assign(new PassThrough(), { isTTY: true, setRawMode: () => stdin })
  const [stdout, stderr] = [createScreen(), createScreen()]
  const quits: number[] = []
  const opened = openTerminal({ env: {}, stdin, stdout, stderr } as never, () => quits.push(1))
  terminal = opened
  return { terminal: opened, type: (keys: string) => void stdin.write(keys), stdout, stderr, quits }
}

function createScreen() {
  const written: string[] = []
  const stream = new PassThrough()
  stream.setEncoding('utf8').on('data', (text: string) => written.push(text))
  return Object.assign(stream, { isTTY: true, columns: 80, shown: () => written.join('') })
}

test('a paste of several lines is one message, sent with the Enter key', async () => {
  const { terminal, type, stderr } = sitDown()
  const asked = terminal.ask('> ')
  type(`${PASTE_START}one\rtwo\r\rthree${PASTE_END} and more\r`)
  expect(await asked).toBe('one\ntwo\n\nthree and more')
  const next = terminal.ask('> ')
  type('short\r')
  expect(await next).toBe('short')
  expect(stderr.shown()).toContain('\u001b[?2004h')
  terminal.close()
  expect(stderr.shown()).toContain('\u001b[?2004l')
})

test('what is pasted during a reply is shown and waits at the next prompt', async () => {
  const { terminal, type, stderr } = sitDown()
  await terminal.whileBusy(
    () => {},
    async () => {
      type(`${PASTE_START}one\rtwo${PASTE_END}`)
      await new Promise((resolve) => setTimeout(resolve, 20))
      expect(stderr.shown()).not.toContain('one')
    },
  )
  const asked = terminal.ask('> ')
  await expect.poll(() => stderr.shown()).toMatch(/> one\n[\s\S]*two/)
  type('\r')
  expect(await asked).toBe('one\ntwo')
})

test('lines that are typed during a reply come in their order', async () => {
  const { terminal, type } = sitDown()
  await terminal.whileBusy(
    () => {},
    async () => {
      type('one\rtwo\r')
      await new Promise((resolve) => setTimeout(resolve, 20))
    },
  )
  expect([await terminal.ask('> '), await terminal.ask('> ')]).toEqual(['one', 'two'])
})

test('an interrupt drops what is typed, and one where nothing is typed ends', async () => {
  const { terminal, type, quits } = sitDown()
  const asked = terminal.ask('> ')
  type(`half a thought${CTRL_C}${PASTE_START}a\rb${PASTE_END}${CTRL_C}whole\r`)
  expect(await asked).toBe('whole')
  expect(quits).toHaveLength(0)
  const last = terminal.ask('> ')
  type(CTRL_C)
  expect(await last).toBeNull()
  expect(quits).toHaveLength(1)
})

test('an interrupt during a reply is the business of the reply', async () => {
  const { terminal, type, quits } = sitDown()
  let interrupts = 0
  await terminal.whileBusy(
    () => interrupts++,
    async () => {
      type(`${CTRL_C}${CTRL_C}`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    },
  )
  expect({ interrupts, quits }).toEqual({ interrupts: 2, quits: [] })
})

test('nothing that is written is obeyed by the terminal', () => {
  const { terminal, stdout, stderr } = sitDown()
  terminal.write('a\u001b[2J\u009b3m\u0007é👩‍🚀\n')
  terminal.note('b\u001b]0;title\u0007')
  expect(stdout.shown()).toBe('a[2J3mé👩‍🚀\n')
  expect(stderr.shown()).toContain('b]0;title\n')
})
