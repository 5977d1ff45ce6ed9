import { badField } from '../../errors.ts'
import { isJsonObject } from '../../lib/json.ts'
import type { ConfiguredTool, HttpTool, McpTools, ToolSettings, WrittenTool } from './tool-settings.ts'

/** `{field}` in a URL. */
export const FIELD = /\{([^{}]*)\}/g
/** `{{secret:NAME}}` in the value of a header; the name with the spaces around it. Each class ends where the next begins, so matching is linear. */
export const SECRET = /\{\{\s*secret:([^{}]*)\}\}/g

/** UTF-16 units of an `outputSchema` as JSON. */
const LONGEST_OUTPUT_SCHEMA = 65_536
/** MCP servers of one configuration. */
export const MOST_SERVERS = 8

/** Checks the tools of a configuration that is about to be written. Throws 400 naming the member that is wrong. */
export function checkTools(field: string, { tools = [] }: ToolSettings): void {
  const names = new Set<string>()
  if (tools.filter(({ type }) => type === 'mcp').length > MOST_SERVERS) {
    throw badField(`${field}.tools`, `must not have more than ${MOST_SERVERS} MCP servers`)
  }
  tools.forEach((tool, i) => {
    const at = `${field}.tools.${i}`
    checkTool(at, tool)
    if (tool.type === 'mcp' || tool.name === undefined) return
    if (names.has(tool.name)) throw badField(`${at}.name`, 'is the name of another tool too')
    names.add(tool.name)
  })
}

function checkTool(at: string, written: WrittenTool): void {
  const tool = written as ConfiguredTool
  if (tool.type === 'mcp') {
    checkMcp(at, tool)
    return
  }
  for (const member of ['name', 'description', 'inputSchema'] as const) {
    if (tool[member] === undefined) throw badField(`${at}.${member}`, 'is required')
  }
  // What else is wrong with it is for those who can compile it.
  if (tool.inputSchema['type'] !== 'object') throw badField(`${at}.inputSchema.type`, 'must be object')
  if (tool.type === 'http') checkHttp(at, tool)
}

function checkHttp(at: string, tool: HttpTool): void {
  if (tool.method === undefined) throw badField(`${at}.method`, 'is required')
  if (tool.url === undefined) throw badField(`${at}.url`, 'is required')
  checkUrl(`${at}.url`, tool.url)
  const properties = isJsonObject(tool.inputSchema['properties']) ? tool.inputSchema['properties'] : {}
  for (const [, name = ''] of tool.url.matchAll(FIELD)) {
    if (!(name in properties)) throw badField(`${at}.url`, `names {${name}}, which the inputSchema does not have`)
  }
  checkHeaders(`${at}.headers`, tool.headers)
  const { outputSchema } = tool
  if (outputSchema === undefined) return
  if (outputSchema['type'] !== 'object' && outputSchema['type'] !== 'array') {
    throw badField(`${at}.outputSchema.type`, 'must be object or array')
  }
  if (JSON.stringify(outputSchema).length > LONGEST_OUTPUT_SCHEMA) throw badField(`${at}.outputSchema`, 'is too long')
}

/** What to do in the place of giving a command. */
export const HOW_TO_START =
  'a command is named, with its arguments, by the operator in DRAMATIS_MCP_COMMANDS, and a tool gives that name as its preset'

function checkMcp(at: string, tool: McpTools): void {
  for (const member of ['command', 'args'] as const) {
    if (member in tool) throw badField(`${at}.${member}`, `cannot be given here: ${HOW_TO_START}`)
  }
  if ((tool.url === undefined) === (tool.preset === undefined)) {
    throw badField(at, 'must have either a url or a preset')
  }
  if (tool.preset !== undefined && tool.headers) throw badField(`${at}.headers`, 'are only for a server with a url')
  if (tool.url !== undefined) checkUrl(`${at}.url`, tool.url)
  if (tool.url !== undefined && tool.url.search(FIELD) >= 0) throw badField(`${at}.url`, 'cannot have fields')
  checkHeaders(`${at}.headers`, tool.headers)
}

function checkUrl(at: string, url: string): void {
  const example = url.replaceAll(FIELD, 'x')
  if (!URL.canParse(example) || !/^https?:\/\//i.test(url)) throw badField(at, 'must be an http or https URL')
  // The model fills the fields in: it must not choose who is called.
  const origin = /^https?:\/\/[^/?#]+/i.exec(url)?.[0]
  // A third slash would be skipped, and what stands behind it be the host.
  if (origin === undefined) throw badField(at, 'must name a host')
  if (/[{}]/.test(origin)) throw badField(at, 'may have fields only behind the host')
  if (origin.includes('@')) throw badField(at, 'must not have a user name or password; use a header with a secret')
}

function checkHeaders(at: string, headers: Record<string, string> = {}): void {
  // An import would run the getters of the module, one of which loads a client for WebSockets: 10 ms and 6 MB.
  const { validateHeaderName, validateHeaderValue } = process.getBuiltinModule('node:http')
  for (const [name, value] of Object.entries(headers)) {
    try {
      validateHeaderName(name)
      validateHeaderValue(name, value)
    } catch {
      throw badField(`${at}.${name}`, 'is no valid header')
    }
    if (/^(host|content-length|transfer-encoding|connection)$/i.test(name)) {
      throw badField(`${at}.${name}`, 'is set by the server')
    }
    for (const [, secret = ''] of value.matchAll(SECRET)) {
      if (!SECRET_NAME.test(secret.trim())) throw badField(`${at}.${name}`, 'names a secret that cannot exist')
    }
  }
}

/** What a secret may be called. */
export const SECRET_NAME = /^[a-zA-Z][\w.-]{0,63}$/
