import { expect, test } from 'vitest'
import { hideAddresses } from './hide-addresses.ts'

test.each([
  ['connect ECONNREFUSED 10.0.0.5:11434', 'connect ECONNREFUSED …'],
  ['upstream http://ollama:11434/v1/chat failed', 'upstream … failed'],
  ['at https://gpu7.svc.cluster.local:8000/x?y', 'at …'],
  ['dial tcp [fd00::1]:80: refused', 'dial tcp …: refused'],
  ['fe80::1 and ::1 and ::ffff:10.0.0.1', '… and … and …:…'],
  ['no such file /var/lib/models/a.gguf', 'no such file …'],
  ['C:\\models\\a.gguf is missing', '… is missing'],
  ['vllm-7:8000 is down, so is localhost:3000', '… is down, so is …'],
  ['getaddrinfo ENOTFOUND gpu.corp.example.com', 'getaddrinfo ENOTFOUND …'],
])('%s', (said, shown) => {
  expect(hideAddresses(said, ['https://gpu.corp.example.com/v1'])).toBe(shown)
})

test.each([
  'see https://platform.openai.com/docs/guides, and gpt-4.1',
  'internal server error at home, try a local one',
  'version 1.2.3 of model llama3.2:3b',
  'at 12:30:45 the rate limit of 10:30 began',
  'messages.0.content: field required (max_tokens: 4096)',
])('is left alone: %s', (said) => {
  expect(hideAddresses(said, ['http://ollama:11434'])).toBe(said)
})
