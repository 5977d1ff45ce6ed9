import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { printNotices, runtimePackages } from './third-party.ts'

/** `npm run notices`: writes THIRD_PARTY_NOTICES.md. */
const root = join(import.meta.dirname, '..')
writeFileSync(join(root, 'THIRD_PARTY_NOTICES.md'), printNotices(runtimePackages(root)))
