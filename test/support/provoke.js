// Preloaded into a server as `--import file:///…/provoke.js`: on a signal the process gets an error that nobody handles.
import { isMainThread } from 'node:worker_threads'

if (isMainThread) {
  process.on('SIGUSR2', () => {
    Promise.reject(new Error('a promise left alone'))
    setTimeout(() => {
      throw new Error('an exception out of nowhere')
    })
  })
}
