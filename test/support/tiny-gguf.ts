/**
 * The smallest model of the llama architecture that llama.cpp runs: one block, 96 dimensions, a token for each byte and
 * each letter. Its weights are random, except that the block adds nothing and the output prefers the letter behind the
 * last one. So what it says is known: behind anything that is no letter it says the alphabet and ends.
 */
export type TinyGgufOptions = {
  /** `z` is followed by `a` and not by the end. */
  isEndless?: boolean
  /** Tokens that it was "trained" with. */
  contextLength?: number
  /** Jinja. */
  chatTemplate?: string
}

/** Without an option of its own, what each message costs is easy to count: its text, its role and six characters. */
export const CHAT_TEMPLATE =
  "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}</{{ message['role'] }}>{% endfor %}" +
  '{% if add_generation_prompt %}<assistant>{% endif %}'

export const ALPHABET = 'abcdefghijklmnopqrstuvwxyz'

const DIMENSIONS = 96
const FEED_FORWARD = 64
const HEADS = 2
/** https://github.com/ggml-org/ggml/blob/master/docs/gguf.md */
const ALIGNMENT = 32
const TYPE = { uint32: 4, int32: 5, float32: 6, boolean: 7, string: 8, array: 9 } as const
const TOKEN_TYPE = { normal: 1, unknown: 2, control: 3, byte: 6 } as const
const END = 2

type Token = { text: string; type: number }
type Tensor = { name: string; shape: number[]; values: Float32Array }

/** The bytes of the file. The same options always make the same bytes. */
export function makeTinyGguf(options: TinyGgufOptions = {}): Buffer {
  const tokens = makeTokens()
  const fields: Buffer[] = [
    field('general.architecture', 'string', text('llama')),
    field('general.name', 'string', text('tiny')),
    field('llama.context_length', 'uint32', uint32(options.contextLength ?? 512)),
    field('llama.embedding_length', 'uint32', uint32(DIMENSIONS)),
    field('llama.block_count', 'uint32', uint32(1)),
    field('llama.feed_forward_length', 'uint32', uint32(FEED_FORWARD)),
    field('llama.attention.head_count', 'uint32', uint32(HEADS)),
    field('llama.attention.head_count_kv', 'uint32', uint32(HEADS)),
    field('llama.attention.layer_norm_rms_epsilon', 'float32', float32(1e-5)),
    field('llama.rope.dimension_count', 'uint32', uint32(DIMENSIONS / HEADS)),
    field('llama.vocab_size', 'uint32', uint32(tokens.length)),
    field('tokenizer.ggml.model', 'string', text('llama')),
    list(
      'tokenizer.ggml.tokens',
      'string',
      tokens.map((token) => text(token.text)),
    ),
    list(
      'tokenizer.ggml.scores',
      'float32',
      tokens.map(() => float32(0)),
    ),
    list(
      'tokenizer.ggml.token_type',
      'int32',
      tokens.map((token) => uint32(token.type)),
    ),
    field('tokenizer.ggml.bos_token_id', 'uint32', uint32(1)),
    field('tokenizer.ggml.eos_token_id', 'uint32', uint32(END)),
    field('tokenizer.ggml.unknown_token_id', 'uint32', uint32(0)),
    field('tokenizer.ggml.add_bos_token', 'boolean', Buffer.from([1])),
    field('tokenizer.ggml.add_space_prefix', 'boolean', Buffer.from([0])),
    field('tokenizer.chat_template', 'string', text(options.chatTemplate ?? CHAT_TEMPLATE)),
  ]
  const tensors = makeTensors(tokens, options.isEndless ?? false)
  const header = Buffer.concat([
    Buffer.from('GGUF'),
    uint32(3),
    uint64(tensors.length),
    uint64(fields.length),
    ...fields,
  ])
  const infos: Buffer[] = []
  const data: Buffer[] = []
  let offset = 0
  for (const { name, shape, values } of tensors) {
    infos.push(text(name), uint32(shape.length), ...shape.map(uint64), uint32(0), uint64(offset))
    const bytes = padded(Buffer.from(values.buffer, values.byteOffset, values.byteLength))
    data.push(bytes)
    offset += bytes.length
  }
  return Buffer.concat([padded(Buffer.concat([header, ...infos])), ...data])
}

function makeTokens(): Token[] {
  const bytes = Array.from({ length: 256 }, (_, byte) => byte.toString(16).toUpperCase().padStart(2, '0'))
  const printable = Array.from({ length: 94 }, (_, i) => String.fromCharCode(33 + i))
  return [
    { text: '<unk>', type: TOKEN_TYPE.unknown },
    { text: '<s>', type: TOKEN_TYPE.control },
    { text: '</s>', type: TOKEN_TYPE.control },
    ...bytes.map((byte) => ({ text: `<0x${byte}>`, type: TOKEN_TYPE.byte })),
    // How SentencePiece writes a space.
    { text: '\u2581', type: TOKEN_TYPE.normal },
    ...printable.map((character) => ({ text: character, type: TOKEN_TYPE.normal })),
  ]
}

function makeTensors(tokens: readonly Token[], isEndless: boolean): Tensor[] {
  const random = randomNumbers(7)
  const noise = (name: string, ...shape: number[]): Tensor => {
    const values = new Float32Array(shape.reduce((product, size) => product * size, 1)).map(random)
    return { name, shape, values }
  }
  const same = (name: string, value: number, ...shape: number[]): Tensor => {
    const tensor = noise(name, ...shape)
    return { ...tensor, values: tensor.values.fill(value) }
  }
  const embeddings = noise('token_embd.weight', DIMENSIONS, tokens.length)
  return [
    embeddings,
    { ...embeddings, name: 'output.weight', values: successors(tokens, embeddings.values, isEndless) },
    same('output_norm.weight', 1, DIMENSIONS),
    same('blk.0.attn_norm.weight', 1, DIMENSIONS),
    noise('blk.0.attn_q.weight', DIMENSIONS, DIMENSIONS),
    noise('blk.0.attn_k.weight', DIMENSIONS, DIMENSIONS),
    noise('blk.0.attn_v.weight', DIMENSIONS, DIMENSIONS),
    same('blk.0.attn_output.weight', 0, DIMENSIONS, DIMENSIONS),
    same('blk.0.ffn_norm.weight', 1, DIMENSIONS),
    noise('blk.0.ffn_gate.weight', DIMENSIONS, FEED_FORWARD),
    noise('blk.0.ffn_up.weight', DIMENSIONS, FEED_FORWARD),
    same('blk.0.ffn_down.weight', 0, FEED_FORWARD, DIMENSIONS),
  ]
}

/** For each token the sum of the embeddings of those that it follows: its dot product with one of them is the greatest. */
function successors(tokens: readonly Token[], embeddings: Float32Array, isEndless: boolean): Float32Array {
  const output = new Float32Array(embeddings.length)
  const numberOf = (letter: string) => tokens.findIndex((token) => token.text === letter)
  const afterOthers = numberOf('a')
  tokens.forEach(({ text: letter }, number) => {
    const place = letter.length === 1 ? ALPHABET.indexOf(letter) : -1
    const isLast = place === ALPHABET.length - 1
    const next =
      isLast && !isEndless ? END : place === -1 || isLast ? afterOthers : numberOf(ALPHABET[place + 1] as string)
    // What is no letter shares the same output, so only the end of the prompt is taken into account.
    if (place === -1 && letter !== '>') return
    for (let i = 0; i < DIMENSIONS; i++) {
      const at = next * DIMENSIONS + i
      output[at] = (output[at] as number) + 0.5 * (embeddings[number * DIMENSIONS + i] as number)
    }
  })
  return output
}

/** Numbers with a mean of 0 and a variance of about 1, the same for the same seed (mulberry32). */
function randomNumbers(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return (((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 31 - 1) * Math.sqrt(3)
  }
}

function field(name: string, type: keyof typeof TYPE, value: Buffer): Buffer {
  return Buffer.concat([text(name), uint32(TYPE[type]), value])
}

function list(name: string, type: keyof typeof TYPE, values: readonly Buffer[]): Buffer {
  return field(name, 'array', Buffer.concat([uint32(TYPE[type]), uint64(values.length), ...values]))
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value)
  return Buffer.concat([uint64(bytes.length), bytes])
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

function uint64(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}

function float32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeFloatLE(value)
  return bytes
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((ALIGNMENT - (bytes.length % ALIGNMENT)) % ALIGNMENT)])
}
