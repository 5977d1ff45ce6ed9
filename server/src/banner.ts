import type { FirstSteps } from './bootstrap.ts'
import { EXAMPLE_PERSONAS } from './features/personas/example-personas.ts'
import type { PersonaAndVersion } from './features/personas/persona.ts'
import { variableRulesOf } from './features/personas/persona-configuration.ts'
import { variablesOf } from './features/personas/template.ts'
import { printable, printableJson } from './lib/text/printable.ts'
import type { Services } from './services.ts'

/** Where `dramatis chat` looks by itself. */
const CHAT_ADDRESS = 'http://127.0.0.1:8787'

/** For who has no account anywhere. */
const HOW_TO_GET_A_MODEL = [
  '             With Ollama:   install it from https://ollama.com, and run: ollama pull llama3.2',
  '             Without it:    a model in this process, see docs/local-models.md',
]

/** What `npm start` prints: where the server is, the key, the model, and a command to paste. */
export async function describeStart(
  services: Services,
  start: FirstSteps & { address: string; defaultModel: string; hasProvider: boolean },
): Promise<string> {
  const key = start.generatedKey
  const command = await curlCommand(services, start)
  const lines = [
    '',
    `  Dramatis is listening on ${start.address}`,
    '',
    key === null ? '  API key    the one you have: $DRAMATIS_API_KEY below stands for it' : `  API key    ${key}`,
    key === null
      ? "             Lost? Make another: npx dramatis keys create 'my key' --scopes all"
      : '             It is shown this once: keep it, and export it as DRAMATIS_API_KEY.',
    `  Model      ${start.defaultModel}`,
    ...(start.hasProvider ? [] : HOW_TO_GET_A_MODEL),
    `  API docs   ${start.address}/docs`,
    '',
    '  Start a conversation with a persona:',
    '',
    command,
    '',
    `  Or talk in the terminal: npx dramatis chat${start.address === CHAT_ADDRESS ? '' : ` --url ${start.address}`}`,
    '',
  ]
  // Names of models are those of whatever answers.
  return printable(`${lines.join('\n')}\n`)
}

async function curlCommand(services: Services, start: FirstSteps & { address: string }): Promise<string> {
  const example = await personaToTry(services, start.organizationId)
  const body = printableJson(JSON.stringify(example ?? {})).replaceAll("'", `'\\''`)
  // In double quotes, so that the shell puts the value of the variable in.
  const header =
    start.generatedKey === null ? '"x-hl-api-key: $DRAMATIS_API_KEY"' : `'x-hl-api-key: ${start.generatedKey}'`
  return [
    `curl --request POST '${start.address}/conversations/persona' \\`,
    "  --header 'Content-Type: application/json' \\",
    `  --header ${header} \\`,
    `  --data '${body}'`,
  ].join('\n')
}

/** A persona of the organization that can be talked to, the first example if it is still there, and values for its variables. */
async function personaToTry(services: Services, organizationId: string) {
  const data = await newestPersonas(services, organizationId)
  const usable = data.filter(({ persona, version }) => persona.isActive && persona.isApiEnabled && version.isActive)
  const known = EXAMPLE_PERSONAS.flatMap((example) =>
    usable.filter(({ persona }) => persona.name === example.persona.name).map((one) => ({ ...one, ...example })),
  )
  const chosen = known[0]
  if (chosen) return { personaId: chosen.version.personaId, replacements: chosen.replacements }
  const any = usable[0]
  if (!any) return null
  const rules = variableRulesOf(any.version.configuration)
  const names = new Set([any.version.text, any.version.greeting].flatMap((text) => variablesOf(text ?? '', rules)))
  const required = [...names].filter((name) => rules[name]?.required && rules[name].default === undefined)
  return { personaId: any.persona.id, replacements: Object.fromEntries(required.map((name) => [name, `<${name}>`])) }
}

/** In short pages: a long one would start the thread for long reads, which is 12 MB. */
async function newestPersonas({ personas }: Services, organizationId: string) {
  const found: PersonaAndVersion[] = []
  let continuationToken: string | null = null
  do {
    const page = await personas.list(organizationId, { q: null, tag: null, pageSize: 20, continuationToken })
    for await (const one of page.items) found.push(one)
    continuationToken = page.tokenAtEnd
  } while (continuationToken !== null && found.length < 100)
  return found
}
