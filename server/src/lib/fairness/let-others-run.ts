import { setImmediate } from 'node:timers/promises'

/** Gives the event loop its turn: what others wait for happens between two pieces of long work. */
export const letOthersRun = (): Promise<void> => setImmediate()
