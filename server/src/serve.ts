import { flushCompileCache } from 'node:module'
import type { AddressInfo } from 'node:net'
import { type Logger, pino } from 'pino'
import { type App, createApp } from './app.ts'
import { describeStart } from './banner.ts'
import { bootstrap } from './bootstrap.ts'
import { type Config, ConfigError, readConfig } from './config.ts'
import { giveMemoryBack } from './lib/give-memory-back.ts'
import { openLogLines } from './lib/log-lines.ts'
import { isYoungSizeStated, limitYoungGeneration } from './lib/young-generation.ts'
import { StorageError } from './storage/database.ts'

/** Milliseconds after the start: whoever waits for it has had the first answer by then. */
const TIDY_AFTER_MS = 1_000

/** How much of the time the server may be at work to be called quiet, and milliseconds between two looks. */
const QUIET = 0.02
const LOOK_EVERY_MS = 1_000
/** Later the memory is in use, and what takes 40 ms now would take a second for each GB. */
const MOST_LOOKS = 30

/** Runs the server until it is told to stop. Ends the process with 1 and a sentence when it cannot start. */
export async function runServer(env: NodeJS.ProcessEnv): Promise<void> {
  try {
    await start(env)
  } catch (error) {
    if (!(error instanceof ConfigError || error instanceof StorageError || isListenError(error))) throw error
    process.stderr.write(`Dramatis cannot start.\n${error.message}\n`)
    process.exit(1)
  }
}

async function start(env: NodeJS.ProcessEnv): Promise<void> {
  const { config, warnings } = readConfig(env)
  const log = pino({ level: config.logLevel }, openLogLines())
  for (const warning of warnings) log.warn(warning)
  const app = await createApp(config, log)
  stopOnSignals(app, log)
  try {
    const firstSteps = await bootstrap(app.services, config.apiKey)
    await app.http.listen({ host: config.host, port: config.port, listenTextResolver: () => 'listening' })
    const address = addressOf(config, app.http.server.address() as AddressInfo)
    const { aiSystem, why: defaultModel } = await app.describeDefaultModel()
    // Whoever wants the rehearsal by name needs no advice.
    const hasProvider = aiSystem !== 'rehearsal' || config.providers.defaultAiSystem !== null
    process.stdout.write(await describeStart(app.services, { ...firstSteps, address, defaultModel, hasProvider }))
    setTimeout(() => tidyUp(app, env), TIDY_AFTER_MS).unref()
    goOnAfterFaults(app, log)
  } catch (error) {
    await app.close()
    throw error
  }
}

/** What is put off until whoever waits for the start has had an answer. */
function tidyUp({ pause }: Pick<App, 'pause'>, env: NodeJS.ProcessEnv): void {
  // Node.js does so when the process ends, but not when it is killed. Takes 100 ms if nothing was in the cache, else 3.
  pause(flushCompileCache)
  const isStated = isYoungSizeStated([...process.execArgv, env['NODE_OPTIONS'] ?? ''])
  // Node.js writes to the cache once more when it ends, under the flags of then.
  if (!isStated) process.once('exit', limitYoungGeneration())
  whenQuiet(() => pause(giveMemoryBack))
}

/** Runs `work` at the end of a second in which next to nothing has happened, or not at all when none comes soon. */
function whenQuiet(work: () => void): void {
  let before = performance.eventLoopUtilization()
  let looksLeft = MOST_LOOKS
  const timer = setInterval(() => {
    if (--looksLeft === 0) clearInterval(timer)
    const now = performance.eventLoopUtilization()
    const { utilization } = performance.eventLoopUtilization(now, before)
    before = now
    if (utilization > QUIET) return
    clearInterval(timer)
    work()
  }, LOOK_EVERY_MS)
  timer.unref()
}

function stopOnSignals(app: App, log: { info(message: string): void }): void {
  let isStopping = false
  const stop = async (signal: string) => {
    if (isStopping) process.exit(1)
    isStopping = true
    log.info(`${signal}: stopping`)
    await app.close()
    process.exit(0)
  }
  process.on('SIGTERM', () => stop('SIGTERM'))
  process.on('SIGINT', () => stop('SIGINT'))
}

/**
 * From the end of the start on, an error that nobody has handled does not end the process: what it belonged to fails or
 * is left to its timeout, and nobody else is stopped. Why this holds for exceptions too: docs/decisions/0018.
 */
function goOnAfterFaults(app: Pick<App, 'countUnhandled'>, log: Pick<Logger, 'error'>): void {
  process.on('unhandledRejection', (error) => {
    app.countUnhandled('rejection')
    log.error({ err: error }, 'a promise was rejected and nobody had waited for it: please report this')
  })
  process.on('uncaughtException', (error) => {
    app.countUnhandled('exception')
    log.error({ err: error }, 'an exception was caught by nobody: please report this')
  })
}

/** Something that can be pasted into a client on this machine. */
function addressOf(config: Config, { port }: AddressInfo): string {
  const isAny = config.host === '0.0.0.0' || config.host === '::'
  const host = isAny ? '127.0.0.1' : config.host.includes(':') ? `[${config.host}]` : config.host
  return `${config.tls ? 'https' : 'http'}://${host}:${port}`
}

function isListenError(error: unknown): error is Error {
  return error instanceof Error && 'syscall' in error && (error.syscall === 'listen' || error.syscall === 'getaddrinfo')
}
