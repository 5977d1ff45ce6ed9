import { sql } from 'kysely'
import { PIECE_BYTES } from '../../http/answers/pieces.ts'
import { LAST_UUID } from '../../lib/ids.ts'
import { cutBySize } from '../../lib/text/cut-by-size.ts'
import type { Database } from '../../storage/database.ts'
import { type Parameters, prepareRead } from '../../storage/prepare.ts'
import type { PersonaVersion } from './persona.ts'
import { toVersion } from './persona-rows.ts'

/** Versions that are measured before some of them are read. */
const MEASURED = 100

/** Bytes of what may be large in a version, as far as they are known without reading it. */
export const bytesOfVersion = sql<number>`(coalesce(octet_length(persona_version.text), 0) + coalesce(octet_length(persona_version.greeting), 0)
  + coalesce(octet_length(persona_version.configuration), 0) + coalesce(octet_length(persona_version.metadata), 0))`

type PersonaKey = { organizationId: string; personaId: string }

const selectVersionSizes = prepareRead((db, p: Parameters<PersonaKey & { before: string; limit: number }>) =>
  db
    .selectFrom('persona_version')
    .select(['id', bytesOfVersion.as('bytes')])
    .where('organization_id', '=', p('organizationId'))
    .where('persona_id', '=', p('personaId'))
    .where('id', '<', p('before'))
    .orderBy('id', 'desc')
    .limit(p('limit')),
)

const selectVersionsBetween = prepareRead((db, p: Parameters<PersonaKey & { first: string; last: string }>) =>
  db
    .selectFrom('persona_version')
    .selectAll()
    .where('organization_id', '=', p('organizationId'))
    .where('persona_id', '=', p('personaId'))
    .where('id', '<=', p('first'))
    .where('id', '>=', p('last'))
    .orderBy('id', 'desc'),
)

/** All versions of a persona, newest first, in pieces. */
export async function* findVersions(database: Database, key: PersonaKey): AsyncGenerator<PersonaVersion[], void> {
  for (let before = LAST_UUID; ; ) {
    const sizes = await selectVersionSizes(database, { ...key, before, limit: MEASURED })
    for (const piece of cutBySize(sizes, PIECE_BYTES, ({ bytes }) => bytes)) {
      const [first, last] = [piece[0]?.id ?? '', piece.at(-1)?.id ?? '']
      yield (await selectVersionsBetween(database, { ...key, first, last })).map(toVersion)
    }
    if (sizes.length < MEASURED) return
    before = sizes.at(-1)?.id ?? ''
  }
}
