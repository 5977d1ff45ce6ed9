import { defineCommand } from './command.ts'

export const startCommand = defineCommand({
  usage: '',
  details: 'Listens on HOST:PORT until it gets SIGTERM or SIGINT, exactly as "npm start" does.',
  options: {},
  run: async ({ io }) => {
    const { runServer } = await import('../serve.ts')
    await runServer(io.env)
    return undefined
  },
})
