import { parseAiSystem } from './ai-systems.ts'
import type { HostedProvider } from './hosted-providers/hosted-provider.ts'
import { findHostedProvider } from './hosted-providers/providers.ts'
import { FILE_KINDS, type FileKind, kindOfFile } from './model-file.ts'

/** Takes what there is, so that everything around it can be tried out. */
const FILES_OF_REHEARSAL: HostedProvider['files'] = { known: [['', FILE_KINDS]] }

/**
 * Whether a model takes such a file as a part of a message. `stated` is what the configuration says of models whose name
 * says nothing; without that, such a model takes none.
 */
export function takesFile(
  model: { aiSystem: string; model: string },
  mediaType: string,
  stated: readonly FileKind[] = [],
): boolean {
  const kind = kindOfFile(mediaType)
  if (kind === null) return true
  const aiSystem = parseAiSystem(model.aiSystem) ?? 'default'
  const files = aiSystem === 'rehearsal' ? FILES_OF_REHEARSAL : findHostedProvider(aiSystem)?.files
  if (files?.refused?.includes(mediaType)) return false
  const name = model.model.toLowerCase()
  const bare = files?.nameOfVendor?.(name) ?? name
  const known = files?.known.find(([beginning]) => bare.startsWith(beginning))
  return (known?.[1] ?? stated).includes(kind)
}
