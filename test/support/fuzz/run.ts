import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { chooseSeed } from '../../faults/support/random.ts'

/** `npm run test:fuzz -- --requests 100000 --seed 7`: the fuzzer alone, with as many requests on each database. */
const { values } = parseArgs({ options: { requests: { type: 'string' }, seed: { type: 'string' } } })
const requests = Number(values.requests ?? '20000')
const seed = Number(values.seed ?? chooseSeed())
if (!(requests > 0) || !Number.isInteger(seed)) {
  process.stderr.write('usage: npm run test:fuzz -- [--requests N] [--seed N]\n')
  process.exit(2)
}
process.stdout.write(`seed ${seed}\n`)
const { status } = spawnSync('vitest', ['run', 'test/http/fuzz.test.ts'], {
  cwd: join(import.meta.dirname, '../../..'),
  env: { ...process.env, DRAMATIS_TEST_FUZZ_REQUESTS: String(requests), DRAMATIS_TEST_SEED: String(seed) },
  stdio: 'inherit',
})
process.exit(status ?? 1)
