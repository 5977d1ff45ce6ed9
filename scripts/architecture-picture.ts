import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { drawArchitecture } from './draw-architecture.ts'

/** `npm run picture`: writes docs/architecture.svg. */
writeFileSync(join(import.meta.dirname, '../docs/architecture.svg'), drawArchitecture())
