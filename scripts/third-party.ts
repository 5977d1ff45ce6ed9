import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** A package that a running server may load, as it lies in `node_modules`. */
export type ThirdParty = {
  name: string
  version: string
  /** As SPDX writes it; `unknown` where the package does not say. */
  license: string
  /** What its licence file says, and its notice file after it; null where it has neither. */
  text: string | null
}

type LockedPackage = { dev?: boolean; devOptional?: boolean; link?: boolean }
type Manifest = { name: string; version: string; license?: string | { type?: string } }

/** Licences that ask for no more than to be named and kept. None of them reaches beyond the package itself. */
const PERMISSIVE: ReadonlySet<string> = new Set([
  ...[
    'MIT',
    'MIT-0',
    'ISC',
    'Apache-2.0',
    'BSD-2-Clause',
    'BSD-3-Clause',
    '0BSD',
    'BlueOak-1.0.0',
    'Unlicense',
    'CC0-1.0',
  ],
])

/** All packages that an installation without development packages has, in the order of their names. */
export function runtimePackages(root: string): ThirdParty[] {
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, LockedPackage>
  }
  const places = Object.entries(lock.packages).filter(
    ([place, { dev, devOptional, link }]) => place.includes('node_modules/') && !dev && !devOptional && !link,
  )
  // Some are there more than once, below packages that need another version than the rest.
  const byKey = new Map(places.map(([place]) => readPackage(join(root, place))).map((one) => [keyOf(one), one]))
  return [...byKey.values()].sort((a, b) => (sortKey(a) < sortKey(b) ? -1 : 1))
}

function readPackage(folder: string): ThirdParty {
  const { name, version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest
  const files = readdirSync(folder)
    .filter((file) => /^(licen[cs]e|copying|notice)([.-].*)?$/i.test(file))
    .toSorted()
  const texts = files.map((file) => readFileSync(join(folder, file), 'utf8').replaceAll('\r\n', '\n').trim())
  const named = typeof license === 'string' ? license : license?.type
  return { name, version, license: named ?? 'unknown', text: texts.length > 0 ? texts.join('\n\n') : null }
}

/** Whether a licence, or one of those that may be chosen from, is permissive. */
export function isPermissive(license: string): boolean {
  const alternatives = license.replaceAll(/[()]/g, '').split(/ OR /i)
  return alternatives.some((one) => one.split(/ AND /i).every((name) => PERMISSIVE.has(name.trim())))
}

/** The text of `THIRD_PARTY_NOTICES.md`: which packages there are, and each licence once with those that it is of. */
export function printNotices(packages: readonly ThirdParty[]): string {
  const rows = packages.map(({ name, version, license }) => `| ${name} | ${version} | ${license} |`)
  const byText = Map.groupBy(
    packages.filter(({ text }) => text !== null),
    ({ text }) => text,
  )
  const sections = [...byText].map(([text, those]) => `## ${those.map(keyOf).join(', ')}\n\n${fenced(text ?? '')}\n`)
  const bare = packages.filter(({ text }) => text === null)
  const without =
    bare.length === 0
      ? []
      : [
          '## Without a licence file\n',
          'These say what their licence is in `package.json` and bring no text of it.\n',
          `${bare.map((one) => `- ${keyOf(one)}: ${one.license}`).join('\n')}\n`,
        ]
  const top = [
    '# Third-party notices\n',
    'The packages that a Dramatis server may load, with their licences. Made by `npm run notices` from what is installed.\n',
    '| Package | Version | Licence |',
    '|---|---|---|',
    ...rows,
    '',
  ]
  return [...top, ...sections, ...without].join('\n')
}

const sortKey = ({ name, version }: ThirdParty) => `${name} ${version}`

/** How a lock file and an SBOM call it. */
export function keyOf({ name, version }: Pick<ThirdParty, 'name' | 'version'>): string {
  return `${name}@${version}`
}

/** As it stands: a licence is quoted and not formatted. */
function fenced(text: string): string {
  const fence = text.includes('```') ? '~~~~' : '```'
  return `${fence}text\n${text}\n${fence}`
}
