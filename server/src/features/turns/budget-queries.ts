import { asColumn, type Parameters, prepareRead, prepareWrite } from '../../storage/prepare.ts'

type Day = { organizationId: string; apiKeyId: string; day: string }

/** The guard of `reserveTokens`: so many tokens are not left. */
export const BUDGET_SUFFICES = 'budget_suffices'

/** Reserves tokens of a key's day, unless it would have more than `dailyTokens` reserved and used together. */
export const reserveTokens = prepareWrite(
  (db, p: Parameters<Day & { tokens: number; dailyTokens: number }>, { columnTypes }) =>
    db
      .insertInto('token_budget')
      .columns(['organization_id', 'api_key_id', 'day', 'reserved', 'used'])
      .expression(
        db
          .selectNoFrom((eb) => [
            asColumn(p('organizationId'), columnTypes.id).as('organization_id'),
            asColumn(p('apiKeyId'), columnTypes.id).as('api_key_id'),
            asColumn(p('day'), 'text').as('day'),
            asColumn(p('tokens'), columnTypes.count).as('reserved'),
            eb.lit(0).as('used'),
          ])
          .where(asColumn(p('tokens'), columnTypes.count), '<=', asColumn(p('dailyTokens'), columnTypes.count)),
      )
      .onConflict((conflict) =>
        conflict
          .columns(['organization_id', 'api_key_id', 'day'])
          .doUpdateSet((eb) => ({ reserved: eb('token_budget.reserved', '+', eb.ref('excluded.reserved')) }))
          .where(
            (eb) => eb(eb('token_budget.used', '+', eb.ref('token_budget.reserved')), '+', eb.ref('excluded.reserved')),
            '<=',
            p('dailyTokens'),
          ),
      ),
  { guard: BUDGET_SUFFICES },
)

/** Gives a reservation back and counts what was used in its place. */
export const settleTokens = prepareWrite((db, p: Parameters<Day & { reserved: number; used: number }>) =>
  db
    .updateTable('token_budget')
    .set((eb) => ({ reserved: eb('reserved', '-', p('reserved')), used: eb('used', '+', p('used')) }))
    .where('organization_id', '=', p('organizationId'))
    .where('api_key_id', '=', p('apiKeyId'))
    .where('day', '=', p('day')),
)

export const selectBudget = prepareRead((db, p: Parameters<Day>) =>
  db
    .selectFrom('token_budget')
    .select(['reserved', 'used'])
    .where('organization_id', '=', p('organizationId'))
    .where('api_key_id', '=', p('apiKeyId'))
    .where('day', '=', p('day')),
)
