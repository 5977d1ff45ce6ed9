import type { Transform } from 'node:stream'
import * as zlib from 'node:zlib'

/** Unpacks an answer as it comes. Nothing is said after `destroy()`. */
export type Decoder = { write(chunk: Uint8Array): void; end(): void; destroy(): void }

/** Of more than one layer nobody makes use. */
const MOST_LAYERS = 3

/**
 * What unpacks an answer with such a `content-encoding`: gzip, deflate with and without its header, br, zstd, and several in
 * a row (RFC 9110, section 8.4). Null where there is nothing to unpack, or nobody knows how; the bytes are then read as
 * they are.
 */
export function createDecoder(
  encoding: string | string[] | undefined,
  listener: { onData(chunk: Buffer): void; onEnd(): void; onError(error: Error): void },
): Decoder | null {
  const names = [encoding ?? []].flat().join(',').toLowerCase().split(',')
  const packed = names.map((name) => name.trim()).filter((name) => name !== '' && name !== 'identity')
  if (packed.length === 0 || packed.length > MOST_LAYERS || packed.some((name) => !isKnown(name))) return null
  let isDestroyed = false
  let layers: Transform[] = []

  /** The first bytes say of deflate which of the two it is. */
  function begin(chunk: Uint8Array): Transform {
    layers = packed.reverse().map((name) => openLayer(name, chunk))
    for (const [i, layer] of layers.entries()) {
      layer.on('error', (error) => {
        if (!isDestroyed) listener.onError(error)
      })
      const next = layers[i + 1]
      if (next) layer.pipe(next)
    }
    const last = layers.at(-1) as Transform
    last.on('data', (piece: Buffer) => {
      if (!isDestroyed) listener.onData(piece)
    })
    last.on('end', () => {
      if (!isDestroyed) listener.onEnd()
    })
    return layers[0] as Transform
  }

  return {
    write(chunk) {
      // A copy: the connection uses its memory again while this is being unpacked.
      if (!isDestroyed && chunk.length > 0) (layers[0] ?? begin(chunk)).write(Buffer.from(chunk))
    },
    end() {
      if (isDestroyed) return
      if (layers[0]) layers[0].end()
      else listener.onEnd()
    },
    destroy() {
      isDestroyed = true
      for (const layer of layers) layer.destroy()
    },
  }
}

const KNOWN: ReadonlySet<string> = new Set(['gzip', 'x-gzip', 'deflate', 'br', 'zstd'])

function isKnown(name: string): boolean {
  return KNOWN.has(name)
}

function openLayer(name: string, first: Uint8Array): Transform {
  if (name === 'br') return zlib.createBrotliDecompress()
  if (name === 'zstd') return zlib.createZstdDecompress()
  if (name !== 'deflate') return zlib.createGunzip()
  // The header of zlib is a multiple of 31 whose lower four bits are 8.
  const [head = 0, flags = 0] = first
  return (head & 15) === 8 && (head * 256 + flags) % 31 === 0 ? zlib.createInflate() : zlib.createInflateRaw()
}
