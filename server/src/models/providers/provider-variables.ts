import type { AiSystem } from '../ai-systems.ts'
import { type ProviderVariable, plain, secret } from '../hosted-providers/provider-variable.ts'
import { HOSTED_PROVIDERS } from '../hosted-providers/providers.ts'

const CHOICE = [
  plain('DRAMATIS_DEFAULT_AI_SYSTEM', 'The AI system used when nothing is named', 'the first that is configured'),
  plain('DRAMATIS_DEFAULT_MODEL', 'The model used when nothing is named', "the AI system's own default"),
]

const OPENAI_COMPATIBLE = [
  plain('OPENAI_COMPATIBLE_BASE_URL', 'Address of the API, such as http://127.0.0.1:8000/v1'),
  secret('OPENAI_COMPATIBLE_API_KEY', 'Key, if the server wants one'),
  plain('OPENAI_COMPATIBLE_MODEL', 'The model used when none is named', 'the first that it lists'),
]

const OLLAMA = [plain('OLLAMA_HOST', 'Where Ollama listens, spelled as Ollama itself does', 'http://127.0.0.1:11434')]

const LOCAL = [
  plain(
    'DRAMATIS_LOCAL_MODELS',
    'Models that may run in the server, separated by commas, the default first: `hf:owner/repo:quantization` or the path of a GGUF file',
  ),
  plain('DRAMATIS_LOCAL_RUNTIME', 'Folder that `node-llama-cpp` is installed in', 'the packages of the server'),
  plain('DRAMATIS_LOCAL_CONTEXT', 'Tokens of the context, prompt and reply together', '8192'),
  plain('DRAMATIS_LOCAL_THREADS', 'Threads that a model computes with', 'one less than the processor has'),
  plain('DRAMATIS_LOCAL_QUEUE', 'Replies of one model that may wait for the one that it is writing', '8'),
  plain('DRAMATIS_LOCAL_IDLE_MS', 'Milliseconds after which an unused model leaves the memory', '300000'),
  plain('HF_ENDPOINT', 'Address of the hub that `hf:` models come from', 'https://huggingface.co'),
  secret('HF_TOKEN', 'Token for the hub, if a model needs one'),
]

export type VariableName = (
  | (typeof CHOICE)[number]
  | (typeof HOSTED_PROVIDERS)[number]['variables'][number]
  | (typeof OPENAI_COMPATIBLE)[number]
  | (typeof OLLAMA)[number]
  | (typeof LOCAL)[number]
)['name']

/** One row of the table of variables in the docs; `aiSystem` is null for those that concern the choice between the systems. */
export type TableRow = ProviderVariable<VariableName> & { aiSystem: AiSystem | null }

function rows(aiSystem: AiSystem | null, variables: readonly ProviderVariable<VariableName>[]): TableRow[] {
  return variables.map((variable) => ({ ...variable, aiSystem }))
}

/** Every variable that `readProviderSettings` (`provider-settings.ts`) reads, in the order of the docs. */
export const PROVIDER_VARIABLES: readonly TableRow[] = [
  ...rows(null, CHOICE),
  ...HOSTED_PROVIDERS.flatMap(({ name, variables }) => rows(name, variables)),
  ...rows('openai-compatible', OPENAI_COMPATIBLE),
  ...rows('ollama', OLLAMA),
  ...rows('local', LOCAL),
]
