import { isJsonObject, type JsonValue } from '../../lib/json.ts'

/** A file as the hub describes it; `path` is inside the repository. */
export type HubFile = { path: string; bytes: number; sha256: string }

/** Taken when no quantization is named: the best that most machines can run, as llama.cpp chooses too. */
const USUAL_TAG = 'Q4_K_M'

const PART = /-(\d{5})-of-(\d{5})\.gguf$/i

/**
 * The GGUF files in the answer of `GET /api/models/{owner}/{repo}/tree/main?recursive=true`
 * (https://huggingface.co/docs/hub/api). Files without a checksum, and projectors of images, are left out.
 */
export function readTree(tree: JsonValue): HubFile[] {
  if (!Array.isArray(tree)) return []
  return tree.flatMap((entry) => {
    if (!isJsonObject(entry) || typeof entry.path !== 'string' || !isJsonObject(entry.lfs)) return []
    const { oid, size } = entry.lfs
    const isModel = /\.gguf$/i.test(entry.path) && !/mmproj/i.test(entry.path)
    if (!isModel || typeof oid !== 'string' || !/^[0-9a-f]{64}$/.test(oid)) return []
    return typeof size === 'number' && isPlainPath(entry.path) ? [{ path: entry.path, bytes: size, sha256: oid }] : []
  })
}

/**
 * The file that `tag` names, or all parts of one that is split, in order. Without a tag: `Q4_K_M`, else the first.
 * Empty when there is none.
 */
export function chooseFiles(files: readonly HubFile[], tag: string | null): HubFile[] {
  const sorted = files.toSorted((a, b) => (a.path < b.path ? -1 : 1))
  const chosen = tag === null ? (withTag(sorted, USUAL_TAG) ?? sorted[0]) : withTag(sorted, tag)
  if (chosen === undefined) return []
  const [, , count] = PART.exec(chosen.path) ?? []
  if (count === undefined) return [chosen]
  const stem = chosen.path.replace(PART, '')
  const parts = sorted.filter(({ path }) => PART.exec(path)?.[2] === count && path.replace(PART, '') === stem)
  return parts.length === Number(count) ? parts : []
}

/** The quantizations that can be named, for a message. */
export function tagsOf(files: readonly HubFile[]): string[] {
  const tags = files.map(
    ({ path }) => /[-._]((?:I?Q\d|BF16|F16|F32|MXFP4|TQ\d)\w*)\.gguf$/i.exec(path.replace(PART, '.gguf'))?.[1],
  )
  return [...new Set(tags.filter((tag) => tag !== undefined))].sort()
}

function withTag(files: readonly HubFile[], tag: string): HubFile | undefined {
  const wanted = tag.toLowerCase()
  const named = files.find(({ path }) => path.slice(path.lastIndexOf('/') + 1).toLowerCase() === wanted)
  // Q4_K must not find Q4_K_M.
  const escaped = wanted.replaceAll('.', '\\.')
  const tagged = new RegExp(`(?:^|[-._/])${escaped}(?:$|[-./])`)
  return named ?? files.find(({ path }) => tagged.test(path.toLowerCase()))
}

/** No part of it leads out of the folder it is put in. */
function isPlainPath(path: string): boolean {
  return path.split('/').every((part) => /^[\w+() -][\w.+() -]*$/.test(part))
}
