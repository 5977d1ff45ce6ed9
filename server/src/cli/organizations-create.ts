import { generateKey } from '../features/api-keys/key-format.ts'
import { EXAMPLE_PERSONAS } from '../features/personas/example-personas.ts'
import { SCOPES } from '../http/requests/caller.ts'
import { defineCommand } from './command.ts'
import { parseName } from './keys/key-options.ts'
import { withServices } from './with-services.ts'

export const organizationsCreateCommand = defineCommand({
  usage: 'NAME',
  details: [
    'Prints the id of the organization and its key, which is shown this once. Nothing of one organization is ever',
    'visible to another.',
  ].join('\n'),
  options: {},
  required: ['NAME'],
  run: async ({ words, io }) => {
    const name = parseName(words[0] as string)
    const work = withServices(
      io,
      async ({ database, organizations, apiKeys, personas }) => {
        const { id, statement } = organizations.prepare(name)
        const key = generateKey()
        await database.write([
          statement,
          apiKeys.prepare(id, key, { name: 'admin', scopes: SCOPES, expiresAt: null }).statement,
          ...EXAMPLE_PERSONAS.flatMap(({ persona }) => personas.prepare(id, persona).statements),
        ])
        return { id, key }
      },
      { mayCreate: true },
    )
    const { id, key } = await work
    io.stdout.write(`id   ${id}\nkey  ${key}\n`)
    return undefined
  },
})
