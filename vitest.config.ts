import { defineConfig } from 'vitest/config'
import { createFaultTable } from './test/faults/support/table.ts'
import { LongestFirst } from './test/support/longest-first.ts'

/** They measure their process, in which nothing else must have been done. */
const ALONE = [
  'server/src/lib/process/give-memory-back.test.ts',
  'server/src/lib/process/young-generation.test.ts',
  'test/api-keys/guards.test.ts',
  'test/turns/slow-readers.test.ts',
  'test/limits/stalls.test.ts',
]

export default defineConfig({
  test: {
    globalSetup: ['test/support/global-setup.ts'],
    projects: [
      { extends: true, test: { name: 'alone', include: ALONE } },
      {
        extends: true,
        test: {
          name: 'together',
          include: ['server/src/**/*.test.ts', 'test/**/*.test.ts', 'bench/**/*.test.ts'],
          exclude: [...ALONE, '**/node_modules/**'],
          // To start a process and load the server in it for each file takes more than many of the files themselves.
          isolate: false,
        },
      },
    ],
    // Most tests wait for servers and models more than they compute; the default would be one at a time on two cores.
    maxWorkers: 4,
    maxConcurrency: 20,
    sequence: { sequencer: LongestFirst },
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
