import { type DestinationStream, type Logger, pino, stdSerializers } from 'pino'

/** What an error says besides its words, where it is one word or a number. */
const FACTS = ['code', 'errcode', 'kind', 'status', 'aiSystem', 'constraint'] as const

export type LogOptions = {
  level: string
  /** Takes out of a text what must not stand in a log. */
  redact(text: string): string
}

/**
 * The log: a JSON document a line. Of an error it has the words and the places in the code, its causes included, without
 * secrets; not the requests, answers and rows that packages attach to their errors.
 */
export function openLog({ level, redact }: LogOptions, destination: DestinationStream): Logger {
  return pino({ level, serializers: { err: (error: unknown) => describe(error, redact) } }, destination)
}

function describe(error: unknown, redact: (text: string) => string): unknown {
  if (!(error instanceof Error)) return typeof error === 'string' ? redact(error) : null
  const { type, message, stack, aggregateErrors } = stdSerializers.err(error)
  const facts = Object.fromEntries(FACTS.flatMap((name) => factOf(error, name)))
  const several = aggregateErrors?.map((one: { message: string }) => redact(one.message))
  return { type, message: redact(message), stack: redact(stack), ...facts, ...(several && { several }) }
}

function factOf(error: Error, name: (typeof FACTS)[number]): [string, string | number][] {
  const value: unknown = (error as Partial<Record<typeof name, unknown>> & Error)[name]
  return typeof value === 'number' || (typeof value === 'string' && value.length <= 100) ? [[name, value]] : []
}
