import { MODEL } from '../../wire/openai-reply.ts'
import { SYSTEM } from '../scene.ts'

/** The flow that somebody would draw: a model and a memory, both connected with a conversation chain. As JSON. */
export function flowData(providerUrl: string): string {
  const model = node('chatOpenAICustom', 'Chat Models', ['ChatOpenAI-Custom', 'BaseChatOpenAI', 'BaseChatModel'], {
    modelName: MODEL,
    temperature: 0.9,
    streaming: true,
    basepath: providerUrl,
    cache: '',
  })
  const memory = node('bufferMemory', 'Memory', ['BufferMemory', 'BaseChatMemory', 'BaseMemory'], {
    sessionId: '',
    memoryKey: 'chat_history',
  })
  const chain = node('conversationChain', 'Chains', ['ConversationChain', 'LLMChain', 'BaseChain'], {
    model: `{{${model.id}.data.instance}}`,
    memory: `{{${memory.id}.data.instance}}`,
    chatPromptTemplate: '',
    inputModeration: '',
    systemMessagePrompt: SYSTEM,
  })
  return JSON.stringify({
    nodes: [model, memory, chain],
    edges: [edge(model, chain, 'model'), edge(memory, chain, 'memory')],
    viewport: { x: 0, y: 0, zoom: 1 },
  })
}

type Node = ReturnType<typeof node>

function node(name: string, category: string, baseClasses: readonly string[], inputs: Record<string, unknown>) {
  const id = `${name}_0`
  const output = {
    id: `${id}-output-${name}-${baseClasses.join('|')}`,
    name,
    label: name,
    type: baseClasses.join(' | '),
  }
  const about = { id, label: name, name, type: baseClasses[0], baseClasses, category }
  return {
    id,
    type: 'customNode',
    position: { x: 0, y: 0 },
    width: 300,
    height: 300,
    data: { ...about, inputs, inputParams: [], inputAnchors: [], outputAnchors: [output], outputs: {} },
  }
}

function edge(from: Node, to: Node, input: string) {
  return {
    id: `${from.id}-${to.id}`,
    type: 'buttonedge',
    source: from.id,
    target: to.id,
    sourceHandle: from.data.outputAnchors[0]?.id,
    targetHandle: `${to.id}-input-${input}`,
  }
}
