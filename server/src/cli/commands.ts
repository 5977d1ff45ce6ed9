import type { Command } from './command.ts'

/** A command as the list of them shows it. */
export type CommandEntry = {
  /** The words that call it, such as `keys create`. */
  name: string
  /** One line. */
  summary: string
  load(): Promise<Command>
}

/** Every command, in the order of the help. Each is loaded when it is called: all together they are the whole server. */
export const COMMANDS: readonly CommandEntry[] = [
  {
    name: 'start',
    summary: 'Run the server',
    load: async () => (await import('./start.ts')).startCommand,
  },
  {
    name: 'chat',
    summary: 'Talk to a persona in the terminal',
    load: async () => (await import('./chat.ts')).chatCommand,
  },
  {
    name: 'doctor',
    summary: 'Say what is configured, what works, and what does not',
    load: async () => (await import('./doctor.ts')).doctorCommand,
  },
  {
    name: 'health',
    summary: 'Say whether the server on this machine lives',
    load: async () => (await import('./health.ts')).healthCommand,
  },
  {
    name: 'keys create',
    summary: 'Make an API key and print it, this once',
    load: async () => (await import('./keys/keys-create.ts')).keysCreateCommand,
  },
  {
    name: 'keys list',
    summary: 'List the API keys, revoked ones included',
    load: async () => (await import('./keys/keys-list.ts')).keysListCommand,
  },
  {
    name: 'keys rotate',
    summary: 'Put a new API key in the place of one, and print it, this once',
    load: async () => (await import('./keys/keys-rotate.ts')).keysRotateCommand,
  },
  {
    name: 'keys revoke',
    summary: 'End an API key at once',
    load: async () => (await import('./keys/keys-revoke.ts')).keysRevokeCommand,
  },
  {
    name: 'personas list',
    summary: 'List the personas of an organization, newest first',
    load: async () => (await import('./personas-list.ts')).personasListCommand,
  },
  {
    name: 'organizations create',
    summary: 'Make an organization with an admin key and the example personas',
    load: async () => (await import('./organizations-create.ts')).organizationsCreateCommand,
  },
  {
    name: 'organizations list',
    summary: 'List the organizations, the oldest first',
    load: async () => (await import('./organizations-list.ts')).organizationsListCommand,
  },
  {
    name: 'archive',
    summary: 'Move the older messages of long and of cold conversations to blobs now',
    load: async () => (await import('./archive.ts')).archiveCommand,
  },
  {
    name: 'backup',
    summary: 'Copy the SQLite database to a file, also while the server runs',
    load: async () => (await import('./backup.ts')).backupCommand,
  },
  {
    name: 'restore',
    summary: 'Put a backup in the place of the SQLite database',
    load: async () => (await import('./restore.ts')).restoreCommand,
  },
  {
    name: 'openapi',
    summary: 'Print the OpenAPI 3.1 document of the API',
    load: async () => (await import('./openapi.ts')).openapiCommand,
  },
]
