import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

const ROOT = join(import.meta.dirname, '../..')
const TEMPLATE = join(ROOT, 'bench/performance.template.md')
const PAGE = join(ROOT, 'docs/performance.md')
const FILES = join(ROOT, 'docs/performance')

const SECTIONS = ['bench', 'peers', 'soak'] as const
export type Section = (typeof SECTIONS)[number]

const NOT_YET = 'Not measured yet.'

/** Writes one section of docs/performance.md, and the files that belong to it; the others stay as they are. Returns the page's path. */
export function writeSection(section: Section, text: string, files: readonly { file: string; text: string }[]): string {
  mkdirSync(FILES, { recursive: true })
  for (const { file, text: content } of files) writeFileSync(join(FILES, file), content)
  const old = existsSync(PAGE) ? readFileSync(PAGE, 'utf8') : ''
  mkdirSync(dirname(PAGE), { recursive: true })
  writeFileSync(PAGE, fillTemplate(readFileSync(TEMPLATE, 'utf8'), old, { [section]: text }))
  return PAGE
}

/** The template with what is new, and with what stood in the old page where nothing is. */
export function fillTemplate(template: string, old: string, news: Partial<Record<Section, string>>): string {
  return SECTIONS.reduce((page, section) => {
    const [begin, end] = [`<!-- ${section} -->`, `<!-- /${section} -->`]
    const stood = old.split(begin)[1]?.split(end)[0]?.trim()
    const text = news[section]?.trim() ?? stood ?? NOT_YET
    return page.replace(begin, () => `${begin}\n\n${text}\n\n${end}`)
  }, template)
}
