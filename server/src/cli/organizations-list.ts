import { defineCommand } from './command.ts'
import { formatTable } from './table.ts'
import { withServices } from './with-services.ts'

export const organizationsListCommand = defineCommand({
  name: 'organizations list',
  usage: '',
  summary: 'List the organizations, the oldest first',
  details: 'Shows the id and the name of each.',
  options: {},
  run: async ({ io }) => {
    const all = await withServices(io, ({ organizations }) => organizations.list())
    io.stdout.write(formatTable([['ID', 'NAME'], ...all.map(({ id, name }) => [id, name])]))
    return undefined
  },
})
