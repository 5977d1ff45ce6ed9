import type { Config } from '../../config/config.ts'
import { surveyConfigurations } from '../../features/personas/survey-configurations.ts'
import { revealSecret } from '../../features/secrets/secret-service.ts'
import { type ConfiguredTool, toolsOf } from '../../features/tools/tool-settings.ts'
import { createTools } from '../../features/tools/tools.ts'
import { createMainThread } from '../../lib/fairness/main-thread.ts'
import { isJsonObject, type JsonObject } from '../../lib/json.ts'
import { broken, type Finding, note, ok } from './finding.ts'
import { type Reader, readDatabase } from './read-database.ts'

/** Milliseconds that the servers of one configuration have to list their tools. */
const TIMEOUT_MS = 20_000
/** Configurations that are looked at. */
const MOST = 100
const SUBJECT = 'mcp'

type Subject = { organizationId: string; name: string; configuration: JsonObject }

/**
 * Asks each MCP server of a persona, and each that the operator has named, for its tools, as a turn would, and says which
 * are not offered and why. No tool is called.
 */
export async function examineTools({ database, tools }: Pick<Config, 'database' | 'tools'>): Promise<Finding[]> {
  const ofPresets = [...tools.mcpPresets.keys()].map((preset) => subjectOf('', `the preset ${preset}`, { preset }))
  const look = (reader: Reader) => examine(reader, ofPresets, tools)
  return (await readDatabase(database, look)) ?? (await examine(null, ofPresets, tools))
}

async function examine(
  reader: Reader | null,
  ofPresets: readonly Subject[],
  settings: Config['tools'],
): Promise<Finding[]> {
  const subjects = [...ofPresets, ...(reader ? await ofPersonas(reader) : [])]
  if (subjects.length === 0) return []
  const keys = { current: settings.secretKey, previous: settings.previousSecretKeys }
  const told: string[] = []
  const hear = (fields: object, message: string) => void told.push(`${message}${detailsOf(fields)}`)
  const tools = createTools({
    clock: Date.now,
    log: { info: () => {}, warn: hear, error: hear },
    mainThread: createMainThread(),
    secrets: {
      reveal: async (organizationId, name) =>
        reader ? revealSecret(reader, keys, { organizationId, name }) : ('absent' as const),
      hostsOf: async () => undefined,
    },
    settings: {
      presets: settings.mcpPresets,
      mostProcesses: settings.mcpProcesses,
      privateHosts: settings.privateHosts,
    },
  })
  const findings: Finding[] = []
  try {
    // One after the other, so that what is told is about the one that is asked.
    for (const { organizationId, name, configuration } of subjects) {
      told.length = 0
      const holder = { organizationId, keyId: null }
      const signal = AbortSignal.timeout(TIMEOUT_MS)
      try {
        const toolbox = await tools.service.open(holder, { configuration, isSecret: false }, signal)
        const count = toolbox?.definitions.length ?? 0
        await toolbox?.close()
        findings.push(...told.map((text) => note(SUBJECT, `${name}: ${text}`)))
        if (told.length === 0) findings.push(ok(SUBJECT, `${name}: ${count} tools are offered`))
      } catch (error) {
        const isOurs = ofPresets.some((subject) => subject.name === name)
        // A persona is not the operator's, and its servers are others' still.
        findings.push((isOurs ? broken : note)(SUBJECT, `${name}: ${reasonOf(error)}`))
      }
    }
  } finally {
    await tools.close()
  }
  return findings
}

async function ofPersonas(reader: Reader): Promise<Subject[]> {
  const found = await surveyConfigurations(reader, { word: 'mcp', limit: MOST })
  return found
    .map(({ organizationId, personaName, configuration }) => ({
      organizationId,
      name: `the persona ${personaName}`,
      configuration,
    }))
    .filter(({ configuration }) => toolsOf(configuration).some(({ type }) => type === 'mcp'))
}

function subjectOf(
  organizationId: string,
  name: string,
  server: Pick<ConfiguredTool & { type: 'mcp' }, 'preset'>,
): Subject {
  return { organizationId, name, configuration: { tools: [{ type: 'mcp', ...server }] } }
}

/** The cause has the server's name in it. */
function reasonOf(error: unknown): string {
  const { cause, message } = error as Error
  return cause instanceof Error ? cause.message : message
}

/** Which tools a warning is about, and why. */
function detailsOf(fields: object): string {
  const { left, more, remarks, tool, path, issue } = fields as Record<string, unknown>
  const listed = Array.isArray(left)
    ? left.map((one) => (isJsonObject(one) ? `${one['tool']} (${one['why']})` : `${one}`))
    : []
  const parts = [
    ...listed,
    ...(typeof more === 'number' && more > 0 ? [`${more} more`] : []),
    ...(Array.isArray(remarks) ? remarks : []),
    ...(typeof tool === 'string' ? [`${tool} (${path === '' ? '' : `${path} `}${issue})`] : []),
  ]
  return parts.length === 0 ? '' : `: ${parts.join(', ')}`
}
