import { badField } from '../../errors.ts'
import { NIL_UUID } from '../../lib/ids.ts'
import { type JsonObject, jsonDepth } from '../../lib/json.ts'

const MAX_METADATA_BYTES = 64 * 1024
const MAX_METADATA_DEPTH = 8

/** Metadata within its limits (contract, section 8), else 400. */
export function checkMetadata(field: string, metadata: JsonObject | null | undefined): JsonObject | null {
  if (!metadata) return null
  if (jsonDepth(metadata, MAX_METADATA_DEPTH) > MAX_METADATA_DEPTH) {
    throw badField(field, `must not be nested more than ${MAX_METADATA_DEPTH} levels deep`)
  }
  if (Buffer.byteLength(JSON.stringify(metadata)) > MAX_METADATA_BYTES) {
    throw badField(field, `must have at most ${MAX_METADATA_BYTES} bytes`)
  }
  return metadata
}

/** An id that stands in the path may stand in the body again, if it is the same. Throws 400. */
export function checkSameId(field: string, inPath: string, inBody: string | null | undefined): void {
  if (inBody && inBody !== NIL_UUID && inBody.toLowerCase() !== inPath.toLowerCase()) {
    throw badField(field, 'is not the one in the path')
  }
}

const MAX_REPLACEMENTS_BYTES = 256 * 1024

/** Replacements within their limit, else 400. */
export function checkReplacements(replacements: JsonObject | null | undefined): JsonObject {
  if (!replacements) return {}
  if (Buffer.byteLength(JSON.stringify(replacements)) > MAX_REPLACEMENTS_BYTES) {
    throw badField('replacements', `must have at most ${MAX_REPLACEMENTS_BYTES} bytes`)
  }
  return replacements
}
