/** Milliseconds since the Unix epoch. Passed as an argument so that a test can hold time still. */
export type Clock = () => number

export const systemClock: Clock = () => Date.now()
