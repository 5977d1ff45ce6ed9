import { defineCommand } from './command.ts'
import { formatJson, formatTable, JSON_HELP, JSON_OPTION } from './table.ts'
import { withServices } from './with-services.ts'

export const organizationsListCommand = defineCommand({
  usage: '[--json]',
  details: ['Shows the id and the name of each.', '', JSON_HELP].join('\n'),
  options: JSON_OPTION,
  run: async ({ values, io }) => {
    const found = await withServices(io, ({ organizations }) => organizations.list())
    const all = found.map(({ id, name }) => ({ id, name }))
    io.stdout.write(
      values.json ? formatJson(all) : formatTable([['ID', 'NAME'], ...all.map(({ id, name }) => [id, name])]),
    )
    return undefined
  },
})
