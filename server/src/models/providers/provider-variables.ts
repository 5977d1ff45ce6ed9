import type { AiSystem } from '../ai-systems.ts'

/** One row of the table of variables in the docs. */
export type ProviderVariable = {
  name: string
  /** null for those that concern the choice between the systems. */
  aiSystem: AiSystem | null
  meaning: string
  /** What it is when it is not set; null when there is nothing then. */
  default: string | null
  /** Its value must never be shown. */
  isSecret: boolean
}

function plain(
  name: string,
  aiSystem: AiSystem | null,
  meaning: string,
  fallback: string | null = null,
): ProviderVariable {
  return { name, aiSystem, meaning, default: fallback, isSecret: false }
}

function secret(name: string, aiSystem: AiSystem, meaning: string): ProviderVariable {
  return { name, aiSystem, meaning, default: null, isSecret: true }
}

/** Every variable that {@link readProviderSettings} (`provider-settings.ts`) reads, in the order of the docs. */
export const PROVIDER_VARIABLES = [
  plain('DRAMATIS_DEFAULT_AI_SYSTEM', null, 'The AI system used when nothing is named', 'the first that is configured'),
  plain('DRAMATIS_DEFAULT_MODEL', null, 'The model used when nothing is named', "the AI system's own default"),

  secret('OPENAI_API_KEY', 'openai', 'Key'),
  plain('OPENAI_BASE_URL', 'openai', 'Address of the API', 'https://api.openai.com/v1'),

  secret('AZURE_OPENAI_API_KEY', 'azure-openai', 'Key'),
  plain('AZURE_OPENAI_ENDPOINT', 'azure-openai', 'Address of the resource, such as https://name.openai.azure.com'),
  plain('AZURE_RESOURCE_NAME', 'azure-openai', 'Name of the resource, instead of its address'),
  plain(
    'AZURE_OPENAI_API_VERSION',
    'azure-openai',
    'A version such as 2024-10-21 asks through the URL of the deployment, v1 through the newer API',
    'v1',
  ),
  plain('AZURE_OPENAI_DEPLOYMENT', 'azure-openai', 'The deployment used when no model is named', 'gpt-4.1-mini'),

  secret('ANTHROPIC_API_KEY', 'anthropic', 'Key'),
  plain('ANTHROPIC_BASE_URL', 'anthropic', 'Address of the API', 'https://api.anthropic.com/v1'),

  secret('GOOGLE_GENERATIVE_AI_API_KEY', 'google', 'Key'),
  secret('GEMINI_API_KEY', 'google', 'Key, under its other name'),
  plain(
    'GOOGLE_GENERATIVE_AI_BASE_URL',
    'google',
    'Address of the API',
    'https://generativelanguage.googleapis.com/v1beta',
  ),

  secret('MISTRAL_API_KEY', 'mistral', 'Key'),
  plain('MISTRAL_BASE_URL', 'mistral', 'Address of the API', 'https://api.mistral.ai/v1'),

  secret('GROQ_API_KEY', 'groq', 'Key'),
  plain('GROQ_BASE_URL', 'groq', 'Address of the API', 'https://api.groq.com/openai/v1'),

  secret('COHERE_API_KEY', 'cohere', 'Key'),
  plain('COHERE_BASE_URL', 'cohere', 'Address of the API', 'https://api.cohere.com/v2'),

  plain('AWS_REGION', 'bedrock', 'Region, such as eu-central-1'),
  secret('AWS_ACCESS_KEY_ID', 'bedrock', 'Access key, with its secret key'),
  secret('AWS_SECRET_ACCESS_KEY', 'bedrock', 'Secret key that belongs to the access key'),
  secret('AWS_SESSION_TOKEN', 'bedrock', 'Session token, if the keys are temporary'),
  secret('AWS_BEARER_TOKEN_BEDROCK', 'bedrock', 'A Bedrock API key, instead of access key and secret key'),
  plain('AWS_ENDPOINT_URL_BEDROCK_RUNTIME', 'bedrock', 'Address of the API', 'that of the region'),

  plain('OPENAI_COMPATIBLE_BASE_URL', 'openai-compatible', 'Address of the API, such as http://127.0.0.1:8000/v1'),
  secret('OPENAI_COMPATIBLE_API_KEY', 'openai-compatible', 'Key, if the server wants one'),
  plain('OPENAI_COMPATIBLE_MODEL', 'openai-compatible', 'The model used when none is named', 'the first that it lists'),

  plain('OLLAMA_HOST', 'ollama', 'Where Ollama listens, spelled as Ollama itself does', 'http://127.0.0.1:11434'),

  plain(
    'DRAMATIS_LOCAL_MODELS',
    'local',
    'Models that may run in the server, separated by commas, the default first: `hf:owner/repo:quantization` or the path of a GGUF file',
  ),
  plain(
    'DRAMATIS_LOCAL_RUNTIME',
    'local',
    'Folder that `node-llama-cpp` is installed in',
    'the packages of the server',
  ),
  plain('DRAMATIS_LOCAL_CONTEXT', 'local', 'Tokens of the context, prompt and reply together', '8192'),
  plain('DRAMATIS_LOCAL_THREADS', 'local', 'Threads that a model computes with', 'one less than the processor has'),
  plain('DRAMATIS_LOCAL_QUEUE', 'local', 'Replies of one model that may wait for the one that it is writing', '8'),
  plain('DRAMATIS_LOCAL_IDLE_MS', 'local', 'Milliseconds after which an unused model leaves the memory', '300000'),
  plain('HF_ENDPOINT', 'local', 'Address of the hub that `hf:` models come from', 'https://huggingface.co'),
  secret('HF_TOKEN', 'local', 'Token for the hub, if a model needs one'),
] as const satisfies readonly ProviderVariable[]
