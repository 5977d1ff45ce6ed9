/** UTF-16 units of a path that are told. */
const SHOWN_OF_PATH = 300

/** Where something stands: under a key of something else. Null is the top. */
export type Place = { parent: Place; key: string | number } | null

/** Why a schema is not taken. `path` leads to what is wrong, such as `properties.city.pattern`; it is empty for the whole. */
export class SchemaRefused extends Error {
  readonly path: string
  readonly issue: string

  constructor(place: Place, issue: string) {
    const path = pathOf(place)
    super(path === '' ? issue : `${path} ${issue}`)
    this.name = 'SchemaRefused'
    this.path = path
    this.issue = issue
  }
}

function pathOf(place: Place): string {
  const keys: (string | number)[] = []
  for (let at = place; at !== null; at = at.parent) keys.push(at.key)
  return keys.reverse().join('.').slice(0, SHOWN_OF_PATH)
}
