import { expect, test } from 'vitest'
import type { Secret } from '../secrets/secret-service.ts'
import { createFillHeaders } from './fill-headers.ts'
import { ToolError } from './server-tool.ts'

const fill = createFillHeaders(async (name) => {
  const secrets: Record<string, Secret> = {
    A: { value: '{{secret:B}}', hosts: null },
    HERE: { value: 'value-for-here', hosts: ['*.example.com'] },
    BASIC: { value: Buffer.from('someone:the password').toString('base64'), hosts: null },
    WHOLE: { value: `Basic ${Buffer.from('someone:pass:word').toString('base64')}`, hosts: null },
  }
  return secrets[name] ?? 'absent'
})
const url = 'https://api.example.com/a'

test('secrets are filled in once, and are not read from what fills them', async () => {
  const { headers, hide } = await fill({ x: 'a {{ secret:A }} b', y: 'plain' }, url)
  expect(headers).toEqual({ x: 'a {{secret:B}} b', y: 'plain' })
  expect(hide('plain {{secret:B}}')).toBe('plain [secret]')
  await expect(fill({ x: '{{secret:B}}' }, url)).rejects.toThrow('the secret B is not set.')
})

test('a secret goes only where it may', async () => {
  expect((await fill({ x: '{{secret:HERE}}' }, url)).headers).toEqual({ x: 'value-for-here' })
  const elsewhere = await fill({ x: '{{secret:HERE}}' }, 'https://example.org:8443/a').catch((error: unknown) => error)
  expect(elsewhere).toBeInstanceOf(ToolError)
  expect((elsewhere as Error).message).toBe('the secret HERE may not go to example.org:8443.')
})

test('what is packed into credentials is a secret too', async () => {
  const { hide } = await fill({ authorization: 'Basic {{secret:BASIC}}' }, url)
  expect(hide('someone, someone:the password, the password')).toBe('someone, [secret], [secret]')
  const whole = await fill({ authorization: '{{secret:WHOLE}}' }, url)
  expect(whole.hide(`pass:word of ${Buffer.from('someone:pass:word').toString('base64url')}`)).toMatch(
    /^\[secret\] of \[secret\]=*$/,
  )
})

test('what the author has written around a secret is none', async () => {
  const around = 'a'.repeat(3_000)
  const { headers, hide } = await fill({ x: `{{secret:HERE}}${around}` }, url)
  expect(headers['x']).toBe(`value-for-here${around}`)
  expect(hide(`value-for-here ${around}`)).toBe(`[secret] ${around}`)
})

test('headers without a secret hide nothing', async () => {
  const { hide } = await fill({ authorization: 'Bearer public' }, url)
  expect(hide('Bearer public')).toBe('Bearer public')
})

test('what goes wrong is told without names where nobody may know them', async () => {
  const discreet = createFillHeaders(async () => ({ value: 'x', hosts: ['example.org'] }), true)
  const elsewhere = discreet({ a: '{{secret:HERE}}' }, 'https://example.net/').catch((error: unknown) => error)
  expect(((await elsewhere) as Error).message).toBe('a secret of this tool may not go to its host.')
  const absent = createFillHeaders(async () => 'absent', true)({ a: '{{secret:HERE}}' }, 'https://example.net/')
  await expect(absent).rejects.toThrow('a secret of this tool is not set.')
})
