import { relative } from 'node:path'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** The files that take longest, so that none of them is what all others have to wait for in the end. */
const LONGEST = [
  'test/faults/kill.test.ts',
  'test/limits/stalls.test.ts',
  'test/limits/budget-adversary.test.ts',
  'test/cli/cli.test.ts',
  'test/faults/outage.test.ts',
  'test/faults/clients.test.ts',
  'test/faults/files.test.ts',
  'test/faults/providers.test.ts',
  'test/connections/over-tls.test.ts',
  'test/privacy/privacy-erase.test.ts',
  'test/tools/call-ids.test.ts',
  'test/cli/cli-backup.test.ts',
  'test/limits/limits.test.ts',
  'test/http/fuzz.test.ts',
  'server/src/schema-checks/schema-checks.test.ts',
]

/** Without a list vitest goes by the size of the files where it has not yet run them. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification) => {
      const at = LONGEST.indexOf(relative(this.ctx.config.root, moduleId))
      return at < 0 ? LONGEST.length : at
    }
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b))
  }
}
