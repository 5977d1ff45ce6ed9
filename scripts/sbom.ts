import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { keyOf, runtimePackages } from './third-party.ts'

type Sbom = {
  metadata: { component: { 'bom-ref': string; name: string } }
  components: { 'bom-ref': string; name: string }[]
  dependencies: { ref: string; dependsOn: string[] }[]
}

/**
 * `npm run sbom`: prints the software bill of materials (CycloneDX) of what a server may load.
 *
 * npm makes it of everything, and what only development needs is taken out here: `npm sbom --omit dev` also leaves out
 * each package that development needs too, `pg` among them (npm/cli#7909).
 */
const root = join(import.meta.dirname, '..')
const options = { cwd: root, encoding: 'utf8', maxBuffer: 64 * 1024 ** 2 } as const
const everything = execFileSync('npm', ['sbom', '--sbom-format', 'cyclonedx', '--package-lock-only'], options)
const sbom = JSON.parse(everything) as Sbom
const own = sbom.metadata.component['bom-ref']
const runtime = new Set(runtimePackages(root).map(keyOf))
const isKept = (ref: string) => ref === own || ref.startsWith('@dramatis/') || runtime.has(ref)

const components = sbom.components.filter((one) => isKept(one['bom-ref'])).map(withWholeName)
const dependencies = sbom.dependencies
  .filter(({ ref }) => isKept(ref))
  .map(({ ref, dependsOn }) => ({ ref, dependsOn: dependsOn.filter(isKept) }))
const metadata = { ...sbom.metadata, component: withWholeName(sbom.metadata.component) }
process.stdout.write(`${JSON.stringify({ ...sbom, metadata, components, dependencies }, null, 2)}\n`)

/** npm calls a package of a workspace by its folder. */
function withWholeName<T extends { 'bom-ref': string; name: string }>(component: T): T {
  return { ...component, name: component['bom-ref'].replace(/(?<=.)@[^@]*$/, '') }
}
