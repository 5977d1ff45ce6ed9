import { flushCompileCache } from 'node:module'
import type { AddressInfo } from 'node:net'
import type { Logger } from 'pino'
import { type App, createApp } from './app.ts'
import { describeStart } from './banner.ts'
import { bootstrap } from './bootstrap.ts'
import { type Config, readConfig } from './config/config.ts'
import { ConfigError } from './config/config-error.ts'
import { type Environment, readEnvironment } from './config/environment.ts'
import { describeExposedFiles } from './config/exposed-files.ts'
import { knownSecrets } from './config/known-secrets.ts'
import { giveMemoryBack } from './lib/process/give-memory-back.ts'
import { openLogLines } from './lib/process/log-lines.ts'
import { openLog } from './lib/process/open-log.ts'
import { isYoungSizeStated, limitYoungGeneration } from './lib/process/young-generation.ts'
import { printable } from './lib/text/printable.ts'
import { explainListenError } from './listen-error.ts'
import { createRedactor } from './models/errors/redact.ts'
import { StorageError } from './storage/database.ts'

/** Milliseconds after the start: whoever waits for it has had the first answer by then. */
const TIDY_AFTER_MS = 1_000

/** How much of the time the server may be at work to be called quiet, and milliseconds between two looks. */
const QUIET = 0.02
const LOOK_EVERY_MS = 1_000
/** Later the memory is in use, and what takes 40 ms now would take a second for each GB. */
const MOST_LOOKS = 30

/** Runs the server until it is told to stop. Ends the process with 1 and a sentence when it cannot start. */
export async function runServer(env: Environment): Promise<void> {
  try {
    await start(readEnvironment(env, process.cwd()))
  } catch (error) {
    if (!(error instanceof ConfigError || error instanceof StorageError)) throw error
    process.stderr.write(printable(`Dramatis cannot start.\n${error.message}\n`))
    process.exit(1)
  }
}

async function start(env: Environment): Promise<void> {
  const { config, warnings } = readConfig(env)
  // Diagnostic reports would have the environment in them, and so every key.
  process.report.excludeEnv = true
  const log = openLog({ level: config.logLevel, redact: createRedactor(knownSecrets(config)) }, openLogLines())
  for (const warning of warnings) log.warn(warning)
  const app = await createApp(config, log)
  const exposed = describeExposedFiles(config)
  if (exposed !== null) log.warn(exposed)
  stopOnSignals(app, config, log)
  try {
    // Before anything is made that is shown only once: who cannot listen must not have used that up.
    await listen(app, config)
    const firstSteps = await bootstrap(app.services, config.apiKey)
    if (firstSteps.addedKey)
      log.warn('DRAMATIS_API_KEY was not known: it is one more admin key of the oldest organization now')
    const address = addressOf(config, app.http.server.address() as AddressInfo)
    const { aiSystem, whyInside: defaultModel } = await app.describeDefaultModel()
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
function tidyUp({ pause }: Pick<App, 'pause'>, env: Environment): void {
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

function stopOnSignals(app: App, { shutdownGraceMs }: Config, log: { info(message: string): void }): void {
  let isStopping = false
  const stop = async (signal: string) => {
    if (isStopping) process.exit(1)
    isStopping = true
    log.info(`${signal}: stopping`)
    const replies = app.runningTurns()
    // Whoever has pressed Ctrl-C sits in front of it, and would press it again.
    if (replies > 0 && process.stderr.isTTY) process.stderr.write(waitingFor(replies, shutdownGraceMs))
    await app.close()
    process.exit(0)
  }
  // A terminal that is closed sends SIGHUP.
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => stop(signal))
}

function waitingFor(replies: number, graceMs: number): string {
  const what = replies === 1 ? '1 reply' : `${replies} replies`
  return `\nWaiting up to ${Math.ceil(graceMs / 1_000)} s for ${what} under way. Once more ends it now: what was said is kept.\n`
}

async function listen({ http }: Pick<App, 'http'>, { host, port }: Config): Promise<void> {
  try {
    await http.listen({ host, port, listenTextResolver: () => 'listening' })
  } catch (error) {
    throw explainListenError(error, { host, port })
  }
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
