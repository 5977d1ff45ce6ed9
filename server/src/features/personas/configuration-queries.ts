import { type Parameters, prepareRead } from '../../storage/prepare.ts'

/** Of personas of all organizations, the configurations in force that have some text in them. */
export const selectConfigurationsWith = prepareRead((db, p: Parameters<{ pattern: string; limit: number }>) =>
  db
    .selectFrom('persona')
    .innerJoin('persona_version', (join) =>
      join
        .onRef('persona_version.organization_id', '=', 'persona.organization_id')
        .onRef('persona_version.persona_id', '=', 'persona.id')
        .onRef('persona_version.id', '=', 'persona.default_version_id'),
    )
    .select(['persona.organization_id', 'persona.name', 'persona_version.configuration'])
    .where('persona.deleted_at', 'is', null)
    .where('persona_version.configuration', 'like', p('pattern'))
    .orderBy('persona.organization_id')
    .orderBy('persona.id')
    .limit(p('limit')),
)
