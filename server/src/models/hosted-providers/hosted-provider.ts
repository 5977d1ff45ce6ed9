import type { LanguageModelV4 } from '@ai-sdk/provider'
import type { FileKind } from '../model-file.ts'
import type { ProviderVariable, VariableReader } from './provider-variable.ts'

export type Fetch = typeof globalThis.fetch
export type OpenModel = (model: string) => LanguageModelV4

/** A request for the list of an account's models, which costs nothing. */
export type ModelListRequest = { url: string; headers: Readonly<Record<string, string>> }

/** Tokens by the beginning of a model's name; the longest that fits counts. Only what the vendor documents. */
export type KnownWindow = readonly [beginning: string, tokens: number]

/** The files a model takes, by the beginning of its name, the longer beginning before the shorter. */
export type KnownFiles = readonly [beginning: string, kinds: readonly FileKind[]]

/** What the environment says of one provider. */
export type HostedAccount = {
  /** Where it is asked; null when that follows from something else, or nothing says it. */
  baseUrl: string | null
  /** What `model: "default"` means where the variables say so; absent, it is the provider's. */
  defaultModel?: string
  /** null when there is no such list, or none that a key alone opens. Sent only when nothing is missing. */
  modelList: ModelListRequest | null
  /**
   * Loads the provider's package, which takes some 50 ms and 20 MB, and so happens when it is first used. Gives the package
   * every setting that it would otherwise look up in the environment. Called only when nothing is missing.
   */
  load(fetch: Fetch): Promise<OpenModel>
}

/** All there is to know of a provider that an AI SDK package talks to, and that one needs an account with. */
export type HostedProvider<Name extends string = string, VariableName extends string = string> = {
  /** Its name as an AI system. */
  name: Name
  /** For people. */
  label: string
  /** Spellings other than our own, in lower case and without spaces, hyphens and underscores. */
  aliases: readonly string[]
  /** True when the first message has to be the user's; a greeting then goes into the system text. */
  userFirst: boolean
  /** What `model: "default"` means when no variable says otherwise. One that takes sampling settings: many newer ones refuse them. */
  defaultModel: string
  /** In the order of the docs. */
  variables: readonly ProviderVariable<VariableName>[]
  /** The variables that make it usable: one of each group has to be set. */
  needs: readonly (readonly NoInfer<VariableName>[])[]
  /** Of those, the ones that make it a candidate for what `default` means; absent, all. */
  chosenBy?: readonly NoInfer<VariableName>[]
  /** Not everybody with an account has its default model, so all others come first when the default is looked for. */
  isLastChoice?: boolean
  /** The variable that says where it is, and what such an address ends with; null where we complete it. */
  address: { variable: NoInfer<VariableName>; end: string | null }
  /** Tokens, for a model whose name says nothing: rather too few than a request that is refused. */
  contextWindow: number
  /** Of the models that it makes or is known to serve; they count wherever a model has such a name. */
  windows: readonly KnownWindow[]
  /** A model's name, in lower case, without what stands before the vendor's own one. */
  nameOfVendor?(model: string): string
  /** Absent, only the configuration says which files its models take. */
  files?: {
    known: readonly KnownFiles[]
    /** The same as `nameOfVendor`, for these. */
    nameOfVendor?(model: string): string
    /** Media types that it does not take although it takes their kind. */
    refused?: readonly string[]
  }
  /** Its package writes the name of the model into the path of the request as it is. */
  isModelInPath?: boolean
  /** Which ids of tool calls it takes, and how one is made of a hash in hexadecimal; absent, they are those of OpenAI. */
  toolCallIds?: { taken: RegExp; fromHash(hash: string): string }
  /** Throws an Error that names the variable when a value cannot be right. */
  readAccount(variables: VariableReader<NoInfer<VariableName>>): HostedAccount
}

/** Keeps the name and the variables of a provider as they are written, so that a wrong one is an error of types. */
export function hostedProvider<const Name extends string, const VariableName extends string>(
  provider: HostedProvider<Name, VariableName>,
): HostedProvider<Name, VariableName> {
  return provider
}

/** `GET {base}/models` with the key as most servers want it. */
export function modelListOf(baseUrl: string, apiKey: string | null): ModelListRequest {
  return { url: `${baseUrl}/models`, headers: apiKey === null ? {} : { authorization: `Bearer ${apiKey}` } }
}
