import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js'
import { createMcpServer } from './mcp-server.ts'

await createMcpServer().connect(new StdioServerTransport())
