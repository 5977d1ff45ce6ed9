import { sql } from 'kysely'
import { asColumn, type Parameters, prepareRead, prepareWrite } from '../../../storage/prepare.ts'
import type { QueryBuilder } from '../../../storage/schema.ts'
import type { RunKey } from '../run/run.ts'

type Day = { organizationId: string; apiKeyId: string; day: string }

/** The guard of what takes tokens of a day: so many are not left. */
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

/** Reserves more on a day on which something was reserved before, as far as the key's budget goes. */
export const reserveMore = prepareWrite(
  (db, p: Parameters<Day & { tokens: number }>) =>
    db
      .updateTable('token_budget')
      .set((eb) => ({ reserved: eb('reserved', '+', p('tokens')) }))
      .where('organization_id', '=', p('organizationId'))
      .where('api_key_id', '=', p('apiKeyId'))
      .where('day', '=', p('day'))
      .where((eb) => eb(eb('used', '+', eb.ref('reserved')), '+', p('tokens')), '<=', budgetOf(db, p)),
  { guard: BUDGET_SUFFICES },
)

/** Reserves what was used already, whatever the budget is. */
export const reserveAnyway = prepareWrite((db, p: Parameters<Day & { tokens: number }>) =>
  db
    .updateTable('token_budget')
    .set((eb) => ({ reserved: eb('reserved', '+', p('tokens')) }))
    .where('organization_id', '=', p('organizationId'))
    .where('api_key_id', '=', p('apiKeyId'))
    .where('day', '=', p('day')),
)

/** Counts tokens as used before they are, as far as the key's budget goes. */
export const payTokens = prepareWrite(
  (db, p: Parameters<Day & { tokens: number }>) =>
    db
      .updateTable('token_budget')
      .set((eb) => ({ used: eb('used', '+', p('tokens')) }))
      .where('organization_id', '=', p('organizationId'))
      .where('api_key_id', '=', p('apiKeyId'))
      .where('day', '=', p('day'))
      .where((eb) => eb(eb('used', '+', eb.ref('reserved')), '+', p('tokens')), '<=', budgetOf(db, p)),
  { guard: BUDGET_SUFFICES },
)

/** Counts what was used, whatever the budget is; less than nothing gives back what was paid too much. */
export const countTokens = prepareWrite((db, p: Parameters<Day & { tokens: number }>) =>
  db
    .updateTable('token_budget')
    .set((eb) => ({ used: eb('used', '+', p('tokens')) }))
    .where('organization_id', '=', p('organizationId'))
    .where('api_key_id', '=', p('apiKeyId'))
    .where('day', '=', p('day')),
)

/** Adds to what a run has reserved, in the batch that reserves it. */
export const addToReservation = prepareWrite((db, p: Parameters<RunKey & { tokens: number }>) =>
  db
    .updateTable('run')
    .set((eb) => ({ reserved_tokens: eb('reserved_tokens', '+', p('tokens')) }))
    .where('organization_id', '=', p('organizationId'))
    .where('conversation_id', '=', p('conversationId'))
    .where('id', '=', p('runId')),
)

/** What the steps of a run have cost so far, for whoever has to end it when its server is gone. */
export const recordUsage = prepareWrite(
  (db, p: Parameters<RunKey & { promptTokens: number; completionTokens: number }>) =>
    db
      .updateTable('run')
      .set({ prompt_tokens: p('promptTokens'), completion_tokens: p('completionTokens') })
      .where('organization_id', '=', p('organizationId'))
      .where('conversation_id', '=', p('conversationId'))
      .where('id', '=', p('runId')),
)

/** Gives back what a run had reserved and counts what it used in its place. */
export const settleTokens = prepareWrite((db, p: Parameters<Day & RunKey & { used: number }>) =>
  db
    .updateTable('token_budget')
    .set((eb) => ({
      // What the run's row says, and not what somebody remembers: the answer to a write may have been lost.
      reserved: eb(
        'reserved',
        '-',
        eb.parens(
          sql<number>`${eb
            .selectFrom('run')
            .select('reserved_tokens')
            .where('organization_id', '=', p('organizationId'))
            .where('conversation_id', '=', p('conversationId'))
            .where('id', '=', p('runId'))}`,
        ),
      ),
      used: eb('used', '+', p('used')),
    }))
    .where('organization_id', '=', p('organizationId'))
    .where('api_key_id', '=', p('apiKeyId'))
    .where('day', '=', p('day')),
)

/** How a key's day stands: undefined as long as nothing was reserved on it. */
export const selectBudget = prepareRead((db, p: Parameters<Day>) =>
  db
    .selectFrom('token_budget')
    .innerJoin('api_key', (join) =>
      join
        .onRef('api_key.organization_id', '=', 'token_budget.organization_id')
        .onRef('api_key.id', '=', 'token_budget.api_key_id'),
    )
    .select(['token_budget.reserved', 'token_budget.used', 'api_key.daily_tokens'])
    .where('token_budget.organization_id', '=', p('organizationId'))
    .where('token_budget.api_key_id', '=', p('apiKeyId'))
    .where('token_budget.day', '=', p('day')),
)

/** The tokens that a key may use in a day, as it says now. */
function budgetOf(db: QueryBuilder, p: Parameters<Day>) {
  return db
    .selectFrom('api_key')
    .select('daily_tokens')
    .where('organization_id', '=', p('organizationId'))
    .where('id', '=', p('apiKeyId'))
}
