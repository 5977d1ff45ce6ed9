import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { Dispatcher } from 'undici'
import { isJsonObject, type JsonValue } from '../../lib/json.ts'
import { PRIVATE_FILE, PRIVATE_FOLDER } from '../../lib/process/private-files.ts'
import { DownloadError, downloadFile, reasonOf, sizeOf } from './file-download.ts'
import { chooseFiles, type HubFile, readTree, tagsOf } from './hub-files.ts'
import type { LocalSettings, LocalSource } from './local-settings.ts'

/** Milliseconds that the hub has to say which files there are. */
const TREE_TIMEOUT_MS = 30_000

export type HubSource = Extract<LocalSource, { kind: 'hub' }>

/** Bytes, of all files of the model. */
export type Progress = { id: string; received: number; total: number }

export type HubStoreOptions = {
  settings: Pick<LocalSettings, 'directory' | 'hubUrl' | 'hubToken'>
  dispatcher: Dispatcher
  onProgress(progress: Progress): void
  /** Milliseconds before a broken connection is tried again. */
  pauseMs?: number
}

export type HubStore = {
  /** The path of the model's (first) file if all of it is here; asks nobody. */
  find(source: HubSource): Promise<string | null>
  /** The same after it has been downloaded. Rejects with a {@link DownloadError}. */
  fetch(source: HubSource, signal: AbortSignal): Promise<string>
}

/** Models of the hub as files below `{directory}/hf/{owner}/{repo}`, and a list beside them of what belongs together. */
export function createHubStore({ settings, dispatcher, onProgress, pauseMs }: HubStoreOptions): HubStore {
  const { directory, hubUrl, hubToken } = settings
  // `fetch` drops it when it is sent on to another host.
  const headers = { 'user-agent': 'dramatis', ...(hubToken === null ? {} : { authorization: `Bearer ${hubToken}` }) }
  const folderOf = ({ owner, repo }: HubSource) => join(directory, 'hf', owner, repo)
  const listOf = (source: HubSource) => join(folderOf(source), `${source.tag ?? 'default'}.json`)

  async function find(source: HubSource): Promise<string | null> {
    const list = await readFile(listOf(source), 'utf8').then(readList, () => [])
    const first = list[0]
    if (first === undefined) return null
    const sizes = await Promise.all(list.map(({ path }) => sizeOf(join(folderOf(source), basename(path)))))
    return sizes.every((size, i) => size === list[i]?.bytes) ? join(folderOf(source), basename(first.path)) : null
  }

  async function fetchModel(source: HubSource, signal: AbortSignal): Promise<string> {
    const files = await choose(source, signal)
    const total = files.reduce((sum, { bytes }) => sum + bytes, 0)
    let done = 0
    for (const { path, bytes, sha256 } of files) {
      const file = join(folderOf(source), basename(path))
      // Only a whole file with the right checksum was ever moved there; another version may be, of another size.
      if ((await sizeOf(file)) !== bytes) {
        const url = `${hubUrl}/${source.owner}/${source.repo}/resolve/main/${path.split('/').map(encodeURIComponent).join('/')}`
        const report = (received: number) => onProgress({ id: source.id, received: done + received, total })
        await downloadFile({
          url,
          headers,
          file,
          bytes,
          sha256,
          dispatcher,
          signal,
          onProgress: report,
          ...(pauseMs === undefined ? {} : { pauseMs }),
        })
      }
      done += bytes
      onProgress({ id: source.id, received: done, total })
    }
    await writeWhole(listOf(source), `${JSON.stringify(files, null, 2)}\n`)
    return join(folderOf(source), basename((files[0] as HubFile).path))
  }

  async function choose(source: HubSource, signal: AbortSignal): Promise<HubFile[]> {
    const files = readTree(await askForTree(source, signal))
    const chosen = chooseFiles(files, source.tag)
    if (chosen.length > 0) return chosen
    const tags = tagsOf(files)
    if (files.length === 0) throw new DownloadError('the repository has no GGUF file with a checksum')
    throw new DownloadError(`the repository has no complete ${source.tag ?? 'model'}; it has ${tags.join(', ')}`)
  }

  async function askForTree({ owner, repo }: HubSource, signal: AbortSignal): Promise<JsonValue> {
    const url = `${hubUrl}/api/models/${owner}/${repo}/tree/main?recursive=true`
    try {
      const patience = AbortSignal.any([signal, AbortSignal.timeout(TREE_TIMEOUT_MS)])
      const { fetch } = await import('undici')
      const response = await fetch(url, { headers, dispatcher, signal: patience })
      const text = await response.text()
      if (response.ok) return JSON.parse(text) as JsonValue
      // The hub says 401 also for what is not there, so that private names stay private.
      const isUnknown = response.status === 401 || response.status === 403 || response.status === 404
      const hint = isUnknown ? ': there is no such repository, or it needs a token (HF_TOKEN)' : ''
      throw new DownloadError(`the hub answers ${response.status}${hint}`)
    } catch (error) {
      if (error instanceof DownloadError) throw error
      throw new DownloadError(`the hub cannot be asked (${reasonOf(error)})`, error)
    }
  }

  return { find, fetch: fetchModel }
}

function readList(text: string): HubFile[] {
  const list = JSON.parse(text) as JsonValue
  if (!Array.isArray(list)) return []
  return list.filter((entry) => isJsonObject(entry) && typeof entry.path === 'string') as HubFile[]
}

async function writeWhole(file: string, text: string): Promise<void> {
  await mkdir(join(file, '..'), { recursive: true, mode: PRIVATE_FOLDER })
  await writeFile(`${file}.part`, text, { mode: PRIVATE_FILE })
  await rename(`${file}.part`, file)
}
