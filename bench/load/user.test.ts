import { createServer, type Server, type Socket } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { MARK, STREAM_END, STREAM_WRITES, TOKENS } from '../wire/openai-reply.ts'
import { createUser } from './user.ts'

let server: Server
let answer: (socket: Socket) => void
const portOf = () => {
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}

beforeAll(async () => {
  server = createServer({ noDelay: true }, (socket) => {
    socket.on('data', () => answer(socket))
    socket.on('error', () => {})
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
})
afterAll(() => void server.close())

const expected = { ending: STREAM_END, marks: TOKENS, mark: Buffer.from(MARK) }
const reply = Buffer.concat(STREAM_WRITES)

test('a mark of many bytes is counted however the bytes are cut', async () => {
  const user = createUser(portOf())
  const mark = Buffer.from('"finish_reason":null')
  for (const size of [1, 7, 100, 4_000]) {
    answer = (socket) => {
      for (let at = 0; at < reply.length; at += size) socket.write(reply.subarray(at, at + size))
    }
    // The role has one too.
    const { body } = await user.stream('x', { ...expected, mark, marks: TOKENS + 1 })
    expect(body).toBe('')
  }
  user.close()
})

test('what the user is told counts the tokens as they come', async () => {
  const user = createUser(portOf())
  answer = (socket) => void socket.write(reply)
  const seen: number[] = []
  const { firstMs, totalMs } = await user.stream('x', expected, (marks) => void seen.push(marks))
  expect(seen).toEqual(Array.from({ length: TOKENS }, (_, i) => i + 1))
  expect(firstMs).toBeLessThanOrEqual(totalMs)
  user.close()
})

test('a user goes on with a new connection after one that broke', async () => {
  const user = createUser(portOf())
  answer = (socket) => void socket.write(reply.subarray(0, 500), () => socket.destroy())
  await expect(user.stream('x', expected)).rejects.toThrow()
  answer = (socket) => void socket.write(reply)
  expect((await user.stream('x', expected)).totalMs).toBeGreaterThan(0)
  user.close()
})

test('a status other than 200 is an error that shows what was said', async () => {
  const user = createUser(portOf())
  answer = (socket) => void socket.write('HTTP/1.1 503 Busy\r\ncontent-length: 8\r\n\r\ntoo much')
  await expect(user.stream('x', expected)).rejects.toThrow('status 503: too much')
  user.close()
})
