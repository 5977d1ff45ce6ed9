import { defineConfig } from 'vitest/config'
import { createFaultTable } from './test/faults/support/table.ts'

export default defineConfig({
  test: {
    include: ['server/src/**/*.test.ts', 'test/**/*.test.ts', 'bench/**/*.test.ts'],
    globalSetup: ['test/support/global-setup.ts'],
    // Most tests wait for servers and models more than they compute; the default would be one at a time on two cores.
    maxWorkers: 4,
    maxConcurrency: 20,
    // What is waited for comes late on a machine that does much at once; that it comes is what is tested. So no test has
    // a shorter limit of its own.
    testTimeout: 180_000,
    hookTimeout: 300_000,
    expect: { poll: { timeout: 120_000 } },
    reporters: ['default', createFaultTable(), ['json', { outputFile: '.test-report.json' }]],
    coverage: {
      provider: 'v8',
      include: ['server/src/**/*.ts'],
      exclude: ['**/*.test.ts'],
      reporter: ['text-summary', 'json-summary'],
    },
  },
})
