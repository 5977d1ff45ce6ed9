import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

export const ROOT = join(import.meta.dirname, '../..')

/** Every page of the documentation, as a path from the root of the repository. */
export const PAGES = [
  'README.md',
  'ARCHITECTURE.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  'SECURITY.md',
  ...readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.md'))
    .map((file) => `docs/${file}`),
]

export const textOf = (page: string): string => readFileSync(join(ROOT, page), 'utf8')

/** The code blocks of a text that are marked with this language. */
export function blocksOf(text: string, language: string): string[] {
  return [...text.matchAll(/^```(\w+)\n(.*?)^```$/gms)]
    .filter(([, marked]) => marked === language)
    .map(([, , block]) => (block as string).trimEnd())
}

/** The part of a page below a heading, up to the next one of its level or a higher one. */
export function section(page: string, heading: string): string {
  const start = page.indexOf(`\n${heading}\n`)
  if (start === -1) throw new Error(`there is no heading "${heading}"`)
  const level = heading.indexOf(' ')
  const rest = page.slice(start + heading.length + 2)
  const end = rest.search(new RegExp(`^#{1,${level}} `, 'm'))
  return end === -1 ? rest : rest.slice(0, end)
}

/** The cells of every row of the tables in a text, without headings. */
export function rowsOf(text: string): string[][] {
  const lines = text.split('\n')
  return lines
    .filter((line, i) => line.startsWith('|') && !line.startsWith('|--') && !lines[i + 1]?.startsWith('|--'))
    .map((line) =>
      line
        .slice(1, -1)
        .split('|')
        .map((cell) => cell.trim()),
    )
}

export type Mention = { method: string; path: string }

/** Endpoints as the pages write them: `PATCH /personas/{personaId}`. */
export function mentionedIn(text: string): Mention[] {
  return [...text.matchAll(/\b(GET|POST|PATCH|PUT|DELETE) (\/[\w/{}.-]*)/g)].map(([, method, path]) => ({
    method: method as string,
    path: path as string,
  }))
}

/** What the commands of a text call with curl. */
export function calledIn(text: string): Mention[] {
  return blocksOf(text, 'sh')
    .flatMap((block) => block.split(/^(?=curl )/m))
    .flatMap((command) => {
      const path = /127\.0\.0\.1:8787(\/[^'"\s?]*)/.exec(command)?.[1]
      const method = /--request (\w+)/.exec(command)?.[1] ?? 'GET'
      return command.startsWith('curl ') && path !== undefined ? [{ method, path }] : []
    })
}
