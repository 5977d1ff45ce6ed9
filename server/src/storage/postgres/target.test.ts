import { expect, test } from 'vitest'
import { parsePostgresUrl, placeOf, secretsOfPostgresUrl, withDefaultParameters } from './target.ts'

const usual = { user: 'u', password: 'p', database: 'd' }

test.each([
  ['postgres://u:p@h/d', { ...usual, hosts: [{ host: 'h', port: undefined }] }],
  ['postgresql://u:p@h:5433/d', { ...usual, hosts: [{ host: 'h', port: 5433 }] }],
  [
    'postgres://u:p@a:5432,b:5433,[::1]:5434/d?target_session_attrs=read-write',
    { ...usual, hosts: ['a', 'b', '::1'].map((host, i) => ({ host, port: 5432 + i })) },
  ],
  [
    'postgres://u:p@a,b:5433/d',
    {
      ...usual,
      hosts: [
        { host: 'a', port: undefined },
        { host: 'b', port: 5433 },
      ],
    },
  ],
  ['postgres://u:p@a,b/d?port=6000', { ...usual, hosts: ['a', 'b'].map((host) => ({ host, port: 6000 })) }],
  ['postgres://u:p@/d?host=/run/postgresql', { ...usual, hosts: [{ host: '/run/postgresql', port: undefined }] }],
  ['postgres://u:p@%2Frun%2Fpostgresql/d', { ...usual, hosts: [{ host: '/run/postgresql', port: undefined }] }],
  ['postgres://u:p%40%3A%25@h/d', { ...usual, password: 'p@:%', hosts: [{ host: 'h', port: undefined }] }],
  ['postgres://u:100%@h/d', { ...usual, password: '100%', hosts: [{ host: 'h', port: undefined }] }],
  ['postgres:///d', { user: undefined, password: undefined, hosts: [{ host: '', port: undefined }] }],
  [
    'postgres://u:p@h/d?application_name=a&options=-c%20x%3D1&connect_timeout=3&channel_binding=require',
    { applicationName: 'a', options: '-c x=1', connectMs: 3_000, channelBinding: true },
  ],
])('%s is read as libpq reads it', (url, target) => {
  expect(parsePostgresUrl(url)).toMatchObject(target)
})

test.each([
  ['postgres://u:secret@h:x/d', 'is no host'],
  ['postgres://u:secret@h:99999/d', 'has the port "99999"'],
  ['postgres://u:secret@a,b,c/d?port=1,2', '3 hosts and 2 ports'],
  ['postgres://u:secret@h/d?sslmode=full', 'sslmode=full, which is none of disable, allow'],
  ['postgres://u:secret@h/d?sslmode=verify-ca', 'without sslrootcert'],
  ['postgres://u:secret@h/d?sslmode=require&sslrootcert=system', 'needs sslmode=verify-full'],
  ['postgres://u:secret@h/d?sslrootcert=/no/such/file', 'sslrootcert of the database names a file that cannot be read'],
  ['postgres://u:secret@h/d?sslcert=/a', 'needs both'],
  ['postgres://u:secret@h/d?sslcrl=/a', 'sslcrl=/a, which this server cannot do'],
  ['postgres://u:secret@h/d?gssencmode=require', 'gssencmode=require, which this server cannot do'],
  ['postgres://u:secret@h/d?require_auth=scram-sha-256', 'which this server cannot do'],
  ['postgres://u:secret@h/d?sslnegotiation=direct', 'needs sslmode=require'],
  ['postgres://u:secret@h/d?target_session_attrs=standby', 'say read-write'],
  ['postgres://u:secret@h/d?connect_timeout=soon', 'no number of seconds'],
  ['postgres://u:secret@h/d#x', 'not a valid'],
])('%s is refused with a sentence, without the password', (url, words) => {
  expect(() => parsePostgresUrl(url)).toThrow(words)
  expect(() => parsePostgresUrl(url)).not.toThrow('secret')
})

test('what the URL says itself is stronger than the environment', () => {
  const defaults = { sslmode: 'require', sslrootcert: '' }
  expect(withDefaultParameters('postgres://h/d', defaults)).toBe('postgres://h/d?sslmode=require')
  expect(withDefaultParameters('postgres://h/d?x=1', defaults)).toBe('postgres://h/d?x=1&sslmode=require')
  expect(withDefaultParameters('postgres://h/d?sslmode=disable', defaults)).toBe('postgres://h/d?sslmode=disable')
})

test('a place is named without user and password', () => {
  expect(placeOf(parsePostgresUrl('postgres://u:p@a:1,b/d?sslmode=disable'))).toBe('d at a:1, b')
})

test('secrets of a URL are known as they are written and as they are meant', () => {
  const secrets = secretsOfPostgresUrl('postgres://u:p%40w@a,b:2/d?sslpassword=k%2Fey&password=other')
  for (const secret of ['p%40w', 'p@w', 'k/ey', 'k%2Fey', 'other']) expect(secrets).toContain(secret)
  expect(secretsOfPostgresUrl('postgres://u@h/d')).toEqual([])
})
