import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { chooseSeed } from './random.ts'

/** `npm run test:faults -- --minutes 30 --seed 7`: the fault suite alone; kills go on for as many minutes on each database. */
const { values } = parseArgs({ options: { minutes: { type: 'string' }, seed: { type: 'string' } } })
const minutes = Number(values.minutes ?? '0')
const seed = Number(values.seed ?? chooseSeed())
if (!(minutes >= 0) || !Number.isInteger(seed)) {
  process.stderr.write('usage: npm run test:faults -- [--minutes N] [--seed N]\n')
  process.exit(2)
}
process.stdout.write(`seed ${seed}\n`)
const { status } = spawnSync('vitest', ['run', 'test/faults'], {
  cwd: join(import.meta.dirname, '../../..'),
  env: { ...process.env, DRAMATIS_TEST_FAULT_MINUTES: String(minutes), DRAMATIS_TEST_SEED: String(seed) },
  stdio: 'inherit',
})
process.exit(status ?? 1)
