import { END, MessagesAnnotation, START, StateGraph } from '@langchain/langgraph'
import { ChatOpenAI } from '@langchain/openai'

/** The smallest graph that talks. Configured by PROVIDER_URL, MODEL and SYSTEM. */

const { PROVIDER_URL = '', MODEL = '', SYSTEM = '' } = process.env
const model = new ChatOpenAI({
  model: MODEL,
  apiKey: 'none',
  streaming: true,
  configuration: { baseURL: PROVIDER_URL },
})

export const graph = new StateGraph(MessagesAnnotation)
  .addNode('talk', async ({ messages }) => ({
    messages: [await model.invoke([{ role: 'system', content: SYSTEM }, ...messages])],
  }))
  .addEdge(START, 'talk')
  .addEdge('talk', END)
  .compile()
