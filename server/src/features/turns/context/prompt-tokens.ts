import { estimateTokens } from '../../../lib/text/token-estimate.ts'
import type { ModelMessage } from '../../../models/model.ts'
import type { ChainLink } from '../../../models/model-call.ts'
import { mostTokensOf } from '../../../models/model-file.ts'
import type { ResponseFormat } from '../../../models/response-format.ts'
import type { ToolDefinition } from '../../../models/tool-call.ts'
import type { ConversationForTurn } from '../../conversations/conversation.ts'
import { toolsOf } from '../../tools/tool-settings.ts'
import { type Context, contextTokens } from './window.ts'

/** What a model is sent beside the system text and the messages. */
export type Beside = { tools?: readonly ToolDefinition[]; responseFormat?: ResponseFormat }

/** Tokens of the frame of one tool, and of a form for the reply. */
const FRAME_TOKENS = 16
/** Tokens of what a provider tells its model by itself of tools and of a form: Anthropic documents up to 530. */
const INSTRUCTION_TOKENS = 600

/** About how many tokens a call's prompt has: everything that is sent. */
export function promptTokens(context: Context, beside: Beside): number {
  return contextTokens(context) + besideTokens(beside)
}

/** The most that a provider should count for it: what it adds by itself included, and files as dear as they can be. */
export function mostPromptTokens(context: Context, beside: Beside, model: ChainLink): number {
  const files = context.messages.reduce((sum, message) => sum + extraOfFiles(message, model), 0)
  const isInstructed = (beside.tools?.length ?? 0) > 0 || beside.responseFormat !== undefined
  return promptTokens(context, beside) + files + (isInstructed ? INSTRUCTION_TOKENS : 0)
}

/** About how many tokens stand beside the messages. */
export function besideTokens({ tools = [], responseFormat }: Beside): number {
  const format = responseFormat === undefined ? 0 : estimateTokens(JSON.stringify(responseFormat)) + FRAME_TOKENS
  return tools.length === 0 ? format : estimateTokens(JSON.stringify(tools)) + tools.length * FRAME_TOKENS + format
}

/** What stands beside the messages of a conversation, as far as its configuration says it: MCP servers name their own tools. */
export function besideOf({ configuration }: Pick<ConversationForTurn, 'configuration'>): Beside {
  const tools = toolsOf(configuration).flatMap((tool) =>
    tool.type === 'mcp' ? [] : [{ name: tool.name, description: tool.description, inputSchema: tool.inputSchema }],
  )
  return { tools, ...formatOf(configuration) }
}

/** The form that a configuration wants replies to have. */
export function formatOf(configuration: ConversationForTurn['configuration']): Pick<Beside, 'responseFormat'> {
  // Validated when it was written.
  const responseFormat = configuration?.['responseFormat'] as ResponseFormat | undefined
  return responseFormat === undefined ? {} : { responseFormat }
}

function extraOfFiles(message: ModelMessage, model: ChainLink): number {
  if (message.role !== 'user' || !message.attachments) return 0
  return message.attachments.reduce((sum, file) => sum + mostTokensOf(file, model) - file.tokens, 0)
}
