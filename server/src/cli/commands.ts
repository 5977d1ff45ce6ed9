import { backupCommand } from './backup.ts'
import { chatCommand } from './chat.ts'
import type { Command } from './command.ts'
import { doctorCommand } from './doctor.ts'
import { keysCreateCommand } from './keys-create.ts'
import { keysListCommand } from './keys-list.ts'
import { keysRevokeCommand } from './keys-revoke.ts'
import { openapiCommand } from './openapi.ts'
import { organizationsCreateCommand } from './organizations-create.ts'
import { organizationsListCommand } from './organizations-list.ts'
import { personasListCommand } from './personas-list.ts'
import { restoreCommand } from './restore.ts'
import { startCommand } from './start.ts'

/** Every command, in the order of the help. What is heavy is loaded by the command that needs it. */
export const COMMANDS: readonly Command[] = [
  startCommand,
  chatCommand,
  doctorCommand,
  keysCreateCommand,
  keysListCommand,
  keysRevokeCommand,
  personasListCommand,
  organizationsCreateCommand,
  organizationsListCommand,
  backupCommand,
  restoreCommand,
  openapiCommand,
]
