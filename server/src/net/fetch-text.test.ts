import { Agent } from 'undici'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { startToolServer, type ToolServer } from '../../../test/support/tool-server.ts'
import { fetchText, type TextRequest } from './fetch-text.ts'

let here: ToolServer
let elsewhere: ToolServer
const dispatcher = new Agent()

beforeAll(async () => {
  here = await startToolServer()
  elsewhere = await startToolServer()
  for (const status of [301, 302, 303, 307, 308]) {
    here.on(`/to/${status}`, (_request, response) => response.writeHead(status, { location: '/end' }).end())
    here.on(`/away/${status}`, (_request, response) =>
      response.writeHead(status, { location: `${elsewhere.url}/end` }).end(),
    )
  }
  here.on('/loop', (_request, response) => response.writeHead(302, { location: '/loop' }).end())
  here.on('/file', (_request, response) => response.writeHead(302, { location: 'file:///etc/passwd' }).end())
  here.on('/big', (_request, response) => response.end('ü'.repeat(1_000)))
})
afterAll(async () => {
  await dispatcher.destroy()
  await Promise.all([here.close(), elsewhere.close()])
})
beforeEach(() => {
  here.requests.length = 0
  elsewhere.requests.length = 0
})

const fetchFrom = (path: string, more: Partial<TextRequest> = {}, maxBytes = 10_000) => {
  const request = {
    url: here.url + path,
    method: 'POST',
    headers: { 'x-token': 's', 'content-type': 'a/b' },
    body: 'x',
  }
  return fetchText({ ...request, ...more }, { dispatcher, signal: new AbortController().signal, maxBytes })
}

test.each([301, 302, 303])('%i is followed as a GET without the body', async (status) => {
  await fetchFrom(`/to/${status}`)
  expect(here.requests[1]).toMatchObject({ method: 'GET', path: '/end', body: '' })
  expect(here.requests[1]?.headers).toMatchObject({ 'x-token': 's' })
  expect(here.requests[1]?.headers).not.toHaveProperty('content-type')
})

test.each([307, 308])('%i is followed with method and body', async (status) => {
  await fetchFrom(`/to/${status}`)
  expect(here.requests[1]).toMatchObject({ method: 'POST', path: '/end', body: 'x' })
})

test('another origin gets no header and no body', async () => {
  await fetchFrom('/away/302')
  expect(elsewhere.requests[0]).toMatchObject({ method: 'GET', body: '' })
  expect(elsewhere.requests[0]?.headers).not.toHaveProperty('x-token')
  await expect(fetchFrom('/away/307')).rejects.toThrow('another host')
  expect(elsewhere.requests).toHaveLength(1)
  await fetchFrom('/away/307', { method: 'GET', body: null })
  expect(elsewhere.requests[1]?.headers).not.toHaveProperty('x-token')
})

test('redirects end, and lead only to the web', async () => {
  await expect(fetchFrom('/loop')).rejects.toThrow('too often')
  expect(here.requests).toHaveLength(6)
  await expect(fetchFrom('/file')).rejects.toThrow('no web address')
})

test('reads no more than is wanted, and cuts no character', async () => {
  const answer = await fetchFrom('/big', {}, 101)
  expect(answer).toMatchObject({ status: 200, isCut: true, text: 'ü'.repeat(50) })
})
